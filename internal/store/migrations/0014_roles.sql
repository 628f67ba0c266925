-- Roles with scopes, what a scope requires, and sessions in which somebody acts as another person.

CREATE TABLE roles (
    name        TEXT    NOT NULL PRIMARY KEY,
    id          TEXT    NOT NULL,
    description TEXT    NOT NULL,
    scopes      TEXT    NOT NULL, -- separated by spaces
    is_system   BOOLEAN NOT NULL,
    version     BIGINT  NOT NULL,
    created_at  BIGINT  NOT NULL,
    updated_at  BIGINT  NOT NULL
);
CREATE UNIQUE INDEX roles_id ON roles (id);
INSERT INTO changes (topic, seq) VALUES ('roles', 0);

ALTER TABLE scopes ADD COLUMN id TEXT NOT NULL DEFAULT ''; -- '' until the first start
ALTER TABLE scopes ADD COLUMN requires TEXT NOT NULL DEFAULT ''; -- scopes, separated by spaces
ALTER TABLE scopes ADD COLUMN role TEXT NOT NULL DEFAULT '';
ALTER TABLE scopes ADD COLUMN icon TEXT NOT NULL DEFAULT '';

-- The role super_admin meant nothing before: nobody has it by an accident of its name. Those who
-- administered the server go on doing so.
UPDATE users SET roles = TRIM(REPLACE(' ' || roles || ' ', ' super_admin ', ' '))
    WHERE REPLACE(' ' || roles || ' ', ' super_admin ', '') <> ' ' || roles || ' ';
UPDATE users SET roles = roles || ' super_admin'
    WHERE REPLACE(' ' || roles || ' ', ' admin ', '') <> ' ' || roles || ' ';

-- Who acts as the person: the id of another user, or ''.
ALTER TABLE sessions ADD COLUMN impersonator TEXT NOT NULL DEFAULT '';
ALTER TABLE grants ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE links ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE links ADD COLUMN note TEXT NOT NULL DEFAULT ''; -- why the actor does it
