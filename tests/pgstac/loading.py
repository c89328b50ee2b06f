"""Run by the interpreter that has pypgstac: make the databases and load what a folder holds.

Usage: python loading.py FOLDER, with PG* variables; FOLDER/NAME/collections.json and items.json with
one document on each line become the database NAME.
"""

import sys
from pathlib import Path

import psycopg
from pypgstac.db import PgstacDB
from pypgstac.load import Loader, Methods
from pypgstac.migrate import Migrate

TEMPLATE = "empty"


def main(folder):
    """Migrate one database, and copy it for each folder with items."""
    with psycopg.connect("dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
        with PgstacDB(dsn=f"dbname={TEMPLATE}") as database:
            version = Migrate(database).run_migration()
        homes = sorted(home for home in folder.iterdir() if home.is_dir())
        for home in homes:
            connection.execute(f'CREATE DATABASE "{home.name}" TEMPLATE {TEMPLATE}')
            # settings of a database are not copied with it
            connection.execute(f'ALTER DATABASE "{home.name}" SET search_path TO pgstac, public')
    for home in homes:
        with PgstacDB(dsn=f"dbname={home.name}") as database:
            loader = Loader(db=database)
            loader.load_collections(str(home / "collections.json"), Methods.insert)
            loader.load_items(str(home / "items.json"), Methods.insert)
    sys.stdout.write(f"{version}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
