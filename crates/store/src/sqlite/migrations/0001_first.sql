-- Times are microseconds since 1970. Texts of structure are JSON; one that begins with a space holds the
-- one-key forms of values without a JSON form (see stored.rs).

CREATE TABLE executions (
    id       BLOB    NOT NULL PRIMARY KEY,
    root     BLOB    NOT NULL,
    parent   BLOB,
    run      INTEGER,
    action   TEXT    NOT NULL,
    runner   TEXT    NOT NULL,
    user     TEXT,
    status   TEXT    NOT NULL,
    -- 0: something is to be done; 1: only waits (pending, delayed, paused); null: final
    stage    INTEGER,
    -- 1 when it runs a stored definition, else null
    workflow INTEGER,
    attempt  INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    started  INTEGER,
    ended    INTEGER,
    version  INTEGER NOT NULL,
    spool    TEXT,
    -- `micros:status micros:status …`: grows by appending
    log      TEXT    NOT NULL,
    notes    TEXT,
    result   TEXT,
    request  TEXT    NOT NULL
) STRICT;

-- Recovery and trees: only rows that are not final.
CREATE INDEX executions_open ON executions (stage, root) WHERE stage IS NOT NULL;
CREATE INDEX executions_workflows ON executions (root) WHERE workflow IS NOT NULL;
-- Listings, newest first. Every execution is in exactly one of the first two.
CREATE INDEX executions_tops ON executions (created, id) WHERE parent IS NULL;
CREATE INDEX executions_children ON executions (parent, created, id) WHERE parent IS NOT NULL;
CREATE INDEX executions_all ON executions (created, id);
CREATE INDEX executions_action ON executions (action, created, id);
CREATE INDEX executions_user ON executions (user, created, id) WHERE user IS NOT NULL;
CREATE INDEX executions_bad ON executions (status, created, id)
    WHERE status IN ('failed', 'timeout', 'abandoned', 'canceled');

CREATE TABLE facts (
    execution BLOB    NOT NULL,
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    crc       INTEGER NOT NULL,
    json      TEXT    NOT NULL,
    PRIMARY KEY (execution, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE definitions (
    sha  TEXT NOT NULL PRIMARY KEY,
    text TEXT NOT NULL
) STRICT;

CREATE TABLE due (
    owner  BLOB    NOT NULL,
    kind   INTEGER NOT NULL,
    number INTEGER NOT NULL,
    root   BLOB    NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (owner, kind, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX due_at ON due (at);

-- scope is `system` or `user:NAME`
CREATE TABLE items (
    scope       TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    value       TEXT    NOT NULL,
    secret      INTEGER NOT NULL,
    description TEXT,
    created     INTEGER NOT NULL,
    expires     INTEGER,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX items_expires ON items (expires) WHERE expires IS NOT NULL;

CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    network    TEXT    NOT NULL,
    channel    TEXT    NOT NULL,
    thread     TEXT,
    body       TEXT    NOT NULL,
    dedup      TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    tries      INTEGER NOT NULL
) STRICT;
-- The rowid, which is the id, is part of every index.
CREATE INDEX outbox_network ON outbox (network);
-- Outlives the row, so that nothing is said twice.
CREATE TABLE outbox_keys (
    dedup TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    channel TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    author  TEXT    NOT NULL,
    bot     INTEGER NOT NULL,
    whisper TEXT,
    thread  INTEGER,
    body    TEXT    NOT NULL,
    dedup   TEXT,
    PRIMARY KEY (channel, seq)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX messages_dedup ON messages (channel, dedup) WHERE dedup IS NOT NULL;

CREATE TABLE taken (
    key       TEXT    NOT NULL PRIMARY KEY,
    execution BLOB    NOT NULL,
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX taken_at ON taken (at);

CREATE TABLE users (
    name     TEXT    NOT NULL PRIMARY KEY,
    password TEXT,
    roles    TEXT    NOT NULL,
    active   INTEGER NOT NULL,
    created  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tokens (
    sha       BLOB    NOT NULL PRIMARY KEY,
    user      TEXT    NOT NULL,
    created   INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    execution BLOB,
    data      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_expires ON tokens (expires);

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
