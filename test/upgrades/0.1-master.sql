CREATE TABLE public.account (
    id integer NOT NULL,
    cqrs_revision integer DEFAULT 0 NOT NULL,
    cqrs_updated timestamp(6) with time zone DEFAULT clock_timestamp() NOT NULL,
    cqrs_incarnation bigint DEFAULT ((EXTRACT(epoch FROM clock_timestamp()) * (1000000)::numeric))::bigint NOT NULL,
    name text NOT NULL,
    amount numeric(20,4),
    at timestamp(6) with time zone,
    data jsonb
);
CREATE TABLE public.cqrs_outbox (
    id bigint NOT NULL,
    bucket smallint NOT NULL,
    cqrs_id text NOT NULL,
    signal text NOT NULL,
    key text NOT NULL,
    queue text,
    body text NOT NULL,
    failure text,
    created_at timestamp(6) with time zone DEFAULT clock_timestamp() NOT NULL
);
COMMENT ON TABLE public.cqrs_outbox IS 'mikro-orm-cqrs: schema 1';
CREATE SEQUENCE public.cqrs_outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.cqrs_outbox_id_seq OWNED BY public.cqrs_outbox.id;
ALTER TABLE ONLY public.cqrs_outbox ALTER COLUMN id SET DEFAULT nextval('public.cqrs_outbox_id_seq'::regclass);
INSERT INTO public.account (id, cqrs_revision, cqrs_updated, cqrs_incarnation, name, amount, at, data) VALUES (1, 0, '2026-11-25 23:32:47.779732+00', 1795649567779732, 'kept', 12345678901234.5678, '2026-11-21 10:00:00.123456+00', '{"é": [1.5, null], "🎉": "\""}');
INSERT INTO public.account (id, cqrs_revision, cqrs_updated, cqrs_incarnation, name, amount, at, data) VALUES (2, 1, '2026-11-25 23:32:48.739577+00', 1795649567859436, 'changed ''é'' \ 🎉', 0.0001, '2026-11-21 10:00:00.123+00', '{"é": [1.5, null], "🎉": "\""}');
INSERT INTO public.account (id, cqrs_revision, cqrs_updated, cqrs_incarnation, name, amount, at, data) VALUES (5, 0, '2026-11-25 23:32:48.791255+00', 1795649568791255, 'made again', NULL, NULL, NULL);
INSERT INTO public.account (id, cqrs_revision, cqrs_updated, cqrs_incarnation, name, amount, at, data) VALUES (6, 1, '2026-11-25 23:32:48.802699+00', 1795649568802699, 'new life', NULL, NULL, NULL);
INSERT INTO public.account (id, cqrs_revision, cqrs_updated, cqrs_incarnation, name, amount, at, data) VALUES (7, 0, '2026-11-25 23:32:48.81947+00', 1795649568819470, 'new', NULL, NULL, '{"deep": [[["x"]]]}');
INSERT INTO public.cqrs_outbox (id, bucket, cqrs_id, signal, key, queue, body, failure, created_at) VALUES (9, 54, 'account', 'SAVE', '["2"]', NULL, '{"signal_type":"SAVE","cqrs_id":"account","instance_data":{"id":2,"name":"changed ''é'' \\ 🎉","amount":"0.0001","at":"2026-11-21 10:00:00.123000+00:00","data":{"é": [1.5, null], "🎉": "\""},"cqrs_revision":1,"cqrs_updated":"2026-11-25 23:32:48.739577+00:00"},"previous_data":{"name":"to change"},"instance_pk":2,"correlation_id":null,"retries":0,"meta":{},"cqrs_incarnation":1795649567859436}', NULL, '2026-11-25 23:32:48.758502+00');
INSERT INTO public.cqrs_outbox (id, bucket, cqrs_id, signal, key, queue, body, failure, created_at) VALUES (10, 1, 'account', 'DELETE', '["3"]', NULL, '{"signal_type":"DELETE","cqrs_id":"account","instance_data":{"id":3,"cqrs_revision":1,"cqrs_updated":"2026-11-25 23:32:48.767417+00:00"},"previous_data":null,"instance_pk":3,"correlation_id":null,"retries":0,"meta":{},"cqrs_incarnation":1795649567888481}', NULL, '2026-11-25 23:32:48.78489+00');
INSERT INTO public.cqrs_outbox (id, bucket, cqrs_id, signal, key, queue, body, failure, created_at) VALUES (11, 51, 'account', 'SAVE', '["5"]', NULL, '{"signal_type":"SAVE","cqrs_id":"account","instance_data":{"id":5,"name":"made again","amount":null,"at":null,"data":null,"cqrs_revision":0,"cqrs_updated":"2026-11-25 23:32:48.791255+00:00"},"previous_data":{"name":null},"instance_pk":5,"correlation_id":null,"retries":0,"meta":{},"cqrs_incarnation":1795649568791255}', NULL, '2026-11-25 23:32:48.797675+00');
INSERT INTO public.cqrs_outbox (id, bucket, cqrs_id, signal, key, queue, body, failure, created_at) VALUES (12, 42, 'account', 'SAVE', '["6"]', NULL, '{"signal_type":"SAVE","cqrs_id":"account","instance_data":{"id":6,"name":"new life","amount":null,"at":null,"data":null,"cqrs_revision":1,"cqrs_updated":"2026-11-25 23:32:48.802699+00:00"},"previous_data":{"name":"replaced"},"instance_pk":6,"correlation_id":null,"retries":0,"meta":{},"cqrs_incarnation":1795649568802699}', NULL, '2026-11-25 23:32:48.813152+00');
INSERT INTO public.cqrs_outbox (id, bucket, cqrs_id, signal, key, queue, body, failure, created_at) VALUES (13, 29, 'account', 'SAVE', '["7"]', NULL, '{"signal_type":"SAVE","cqrs_id":"account","instance_data":{"id":7,"name":"new","amount":null,"at":null,"data":{"deep": [[["x"]]]},"cqrs_revision":0,"cqrs_updated":"2026-11-25 23:32:48.819470+00:00"},"previous_data":{"name":null},"instance_pk":7,"correlation_id":null,"retries":0,"meta":{},"cqrs_incarnation":1795649568819470}', NULL, '2026-11-25 23:32:48.827304+00');
INSERT INTO public.cqrs_outbox (id, bucket, cqrs_id, signal, key, queue, body, failure, created_at) VALUES (14, 54, 'account', 'SYNC', '["2"]', 'shop', '{"signal_type":"SYNC","cqrs_id":"account","instance_data":{"id":2,"name":"repeated ''é'' \\ 🎉","amount":"0.0001","at":"2026-11-21 10:00:00.123000+00:00","data":{"é": [1.5, null], "🎉": "\""},"cqrs_revision":1,"cqrs_updated":"2026-11-25 23:32:48.739577+00:00"},"previous_data":{"name":"to change"},"instance_pk":2,"correlation_id":null,"retries":0,"meta":{},"cqrs_incarnation":1795649567859436}', NULL, '2026-11-25 23:32:49.452222+00');
SELECT pg_catalog.setval('public.cqrs_outbox_id_seq', 14, true);
ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.cqrs_outbox
    ADD CONSTRAINT cqrs_outbox_pkey PRIMARY KEY (id);
CREATE INDEX cqrs_outbox_bucket_id_index ON public.cqrs_outbox USING btree (bucket, id);
