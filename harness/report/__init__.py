"""A study, or several, as one file to read in five minutes and to send: HTML for people, Markdown for a pull request.

`collect` gathers what is recorded into a `document`, `html` and `markdown` write it down. Nothing is computed here that
is not a record or a statistic of `scoring`; nothing of a page is fetched from anywhere.
"""
