-- Short lists that are read whole: answers that were received and not decided yet, broken glasses that wait for a review.
CREATE TABLE entries (
    list  TEXT    NOT NULL,
    key   TEXT    NOT NULL,
    at    INTEGER NOT NULL,
    value TEXT    NOT NULL,
    PRIMARY KEY (list, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX entries_order ON entries (list, at, key);
