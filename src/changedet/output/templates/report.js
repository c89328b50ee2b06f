document.querySelectorAll(".viewer").forEach(startViewer);
document.querySelectorAll("button[data-copy]").forEach(startCopying);
document.querySelectorAll("#review").forEach(startReview);
