CREATE TABLE public.account_ref (
    id integer NOT NULL,
    cqrs_revision integer DEFAULT 0 NOT NULL,
    cqrs_updated timestamp(6) with time zone DEFAULT clock_timestamp() NOT NULL,
    cqrs_incarnation bigint,
    name text NOT NULL,
    amount numeric(20,4),
    at timestamp(6) with time zone,
    data jsonb
);
CREATE TABLE public.cqrs_tombstones (
    cqrs_id text NOT NULL,
    key text NOT NULL,
    incarnation bigint,
    revision integer NOT NULL,
    updated timestamp(6) with time zone NOT NULL,
    deleted_at timestamp(6) with time zone DEFAULT clock_timestamp() NOT NULL
);
COMMENT ON TABLE public.cqrs_tombstones IS 'mikro-orm-cqrs: schema 1';
CREATE TABLE public.watched_ref (
    id integer NOT NULL,
    cqrs_revision integer DEFAULT 0 NOT NULL,
    cqrs_updated timestamp(6) with time zone DEFAULT clock_timestamp() NOT NULL,
    cqrs_incarnation bigint,
    name text NOT NULL,
    amount numeric(20,4),
    at timestamp(6) with time zone,
    data jsonb
);
INSERT INTO public.account_ref (id, cqrs_revision, cqrs_updated, cqrs_incarnation, name, amount, at, data) VALUES (1, 0, '2026-11-25 23:32:47.779732+00', 1795649567779732, 'kept', 12345678901234.5678, '2026-11-21 10:00:00.123+00', '{"é": [1.5, null], "🎉": "\""}');
INSERT INTO public.account_ref (id, cqrs_revision, cqrs_updated, cqrs_incarnation, name, amount, at, data) VALUES (2, 0, '2026-11-25 23:32:47.859436+00', 1795649567859436, 'to change', 12345678901234.5678, '2026-11-21 10:00:00.123+00', '{"é": [1.5, null], "🎉": "\""}');
INSERT INTO public.account_ref (id, cqrs_revision, cqrs_updated, cqrs_incarnation, name, amount, at, data) VALUES (3, 0, '2026-11-25 23:32:47.888481+00', 1795649567888481, 'to delete', 12345678901234.5678, '2026-11-21 10:00:00.123+00', '{"é": [1.5, null], "🎉": "\""}');
INSERT INTO public.account_ref (id, cqrs_revision, cqrs_updated, cqrs_incarnation, name, amount, at, data) VALUES (6, 0, '2026-11-25 23:32:47.996884+00', 1795649567996884, 'replaced', 12345678901234.5678, '2026-11-21 10:00:00.123+00', '{"é": [1.5, null], "🎉": "\""}');
INSERT INTO public.cqrs_tombstones (cqrs_id, key, incarnation, revision, updated, deleted_at) VALUES ('account', '["4"]', 1795649567923640, 1, '2026-11-25 23:32:48.067642+00', '2026-11-25 23:32:48.619601+00');
INSERT INTO public.cqrs_tombstones (cqrs_id, key, incarnation, revision, updated, deleted_at) VALUES ('account', '["5"]', 1795649567948998, 1, '2026-11-25 23:32:48.102866+00', '2026-11-25 23:32:48.619877+00');
ALTER TABLE ONLY public.account_ref
    ADD CONSTRAINT account_ref_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.cqrs_tombstones
    ADD CONSTRAINT cqrs_tombstones_pkey PRIMARY KEY (cqrs_id, key);
ALTER TABLE ONLY public.watched_ref
    ADD CONSTRAINT watched_ref_pkey PRIMARY KEY (id);
CREATE INDEX cqrs_tombstones_deleted_at_index ON public.cqrs_tombstones USING btree (deleted_at);
