"""Where imagery comes from; each provider finds scenes and loads them onto a grid."""
