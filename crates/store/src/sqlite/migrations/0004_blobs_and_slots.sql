-- Large parts of texts, each content once: a text that begins with a tab refers to them (see blobs.rs).

CREATE TABLE blobs (
    sha  BLOB NOT NULL PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;

-- Places among the few executions that may run at once (taken = 1), and those who wait for one (0).
CREATE TABLE slots (
    name      TEXT    NOT NULL,
    execution BLOB    NOT NULL,
    root      BLOB    NOT NULL,
    at        INTEGER NOT NULL,
    taken     INTEGER NOT NULL,
    PRIMARY KEY (name, execution)
) STRICT, WITHOUT ROWID;
CREATE INDEX slots_execution ON slots (execution);
CREATE INDEX slots_order ON slots (name, taken, at, execution);
