"""The charts of studies as Vega-Lite specifications, plain dicts, which a report's page and MLflow's pictures share.

`spec` has what all of them have, `trials`, `pairs`, `scores` and `networks` make them, `png` draws one as a picture,
`image_rows` lays images side by side. A specification is pure data: names of options and classes stand in it as
values, never as expressions, so no name can break one.
"""
