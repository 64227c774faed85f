-- Attempts at what the engine knows about itself.
-- kind: catalogue functions
from duckdb_settings()
select value from duckdb_settings() where name = 'allowed_paths'
from duckdb_secrets()
from duckdb_secrets(redact = false)
from duckdb_secret_types()
from duckdb_views()
select sql from duckdb_views() where view_name = 'blocks'
from duckdb_tables()
from duckdb_columns()
from duckdb_constraints()
from duckdb_databases()
from duckdb_dependencies()
from duckdb_extensions()
from duckdb_functions()
from duckdb_indexes()
from duckdb_keywords()
from duckdb_log_contexts()
from duckdb_logs
from duckdb_logs_parsed('HTTP')
from duckdb_memory()
from duckdb_optimizers()
from duckdb_prepared_statements()
from duckdb_schemas()
from duckdb_sequences()
from duckdb_temporary_files()
from duckdb_types()
from duckdb_variables()
from duckdb_external_file_cache()
from duckdb_approx_database_count()
from duckdb_connection_count()
from duckdb_which_secret('s3://b/x', 's3')
from which_secret('s3://b/x', 's3')
from pragma_database_size()
from pragma_metadata_info()
from pragma_show('blocks')
from pragma_storage_info('blocks')
from pragma_table_info('blocks')
from pragma_platform()
from pragma_user_agent()
from pragma_version()
from pragma_collations()
from pragma_rowid('blocks')
from icu_calendar_names()
from pg_timezone_names()
from storage_info('blocks')
from test_all_types()
from test_vector_types(null::int)
from repeat_row(1, num_rows = 10)
from summary(table blocks)
from sql_auto_complete('select ')
from checkpoint()
from force_checkpoint()
from enable_logging()
from disable_logging()
from truncate_duckdb_logs()
from enable_profiling()
-- kind: catalogue relations
from information_schema.tables
from information_schema.columns
from information_schema.schemata
from information_schema.character_sets
from "information_schema"."tables"
from INFORMATION_SCHEMA.TABLES
from system.information_schema.tables
from pg_catalog.pg_settings
from pg_catalog.pg_tables
from pg_catalog.pg_class
from pg_catalog.pg_proc
from pg_catalog.pg_views
from pg_class
from pg_tables
from pg_settings
from pg_database
from pg_views
from pg_prepared_statements
from sqlite_master
from sqlite_schema
from sqlite_temp_master
from sqlite_temp_schema
from duckdb_views
from duckdb_settings
from duckdb_databases
from system.main.duckdb_settings
from system.main.duckdb_views
from system.pg_catalog.pg_class
from pragma_database_list
from isotherm_hot.blocks
from isotherm_stub.blocks
from memory.main.blocks
from memory.isotherm_hot.blocks
from main.blocks
from temp.main.t
from "memory"."isotherm_hot"."blocks"
from nobody.knows.this
from reject_errors
from reject_scans
-- kind: catalogue scalars
select current_setting('allowed_paths')
select current_setting('enable_external_access')
select current_setting('secret_directory')
select current_setting('temp_directory')
select current_database(), current_schema()
select current_schemas(true)
select current_catalog()
select current_query()
select current_query_id(), current_connection_id(), current_transaction_id()
select current_role()
select version()
select getvariable('planted')
select getenv('DATABASE_URL')
select getenv('AWS_SECRET_ACCESS_KEY')
select getenv('AWS_SESSION_TOKEN')
select getenv('HOME') || getenv('PATH')
select in_search_path('memory', 'main')
select txid_current()
select pg_get_viewdef(1)
select pg_get_constraintdef(1)
select pg_my_temp_schema()
select pg_typeof(getenv('HOME'))
select pg_size_pretty(1)
select has_table_privilege('blocks', 'select')
select has_schema_privilege('main', 'usage')
select has_any_column_privilege('blocks', 'select')
select col_description(1, 1), obj_description(1, 'x'), shobj_description(1, 'x')
select inet_server_addr(), inet_server_port()
select nextval('s')
select currval('s')
select setseed(0.5)
select sleep_ms(60000)
select pg_sleep(60)
select sleep(60)
select error('planted')
select write_log('planted', log_type := 'x')
select parse_duckdb_log_message('HTTP', 'x')
select add_parquet_key('k', '0123456789112345')
select icu_sort_key('a', 'de')
select md5(getenv('AWS_SECRET_ACCESS_KEY'))
select st_read('@file@')
select vector_type(block_number), stats(block_number) from blocks
select sql_auto_complete('x')
select duckdb_settings()
select read_text('@file@')
select glob('@folder@/*')
select nobody_wrote_this('@file@')
