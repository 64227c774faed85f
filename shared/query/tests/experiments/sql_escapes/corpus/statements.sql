-- Attempts by statements that are no query.
-- kind: copy and export
copy blocks to '@out@/blocks.csv'
copy (select 1) to '@out@/one.csv'
copy (select 1) to '@out@/one.parquet' (format parquet)
copy (select 1) to '@out@/one.json' (format json)
copy (select 1) to '@out@/x' (format csv, partition_by (a))
copy (select content from read_text('@file@')) to '@out@/copied.csv'
copy (select 1) to '/dev/stderr'
copy (select 1) to 'http://@listener@/x'
copy (select 1) to 's3://isotherm-planted/x'
copy blocks from '@file@'
copy from database memory to other
export database '@out@/exported'
export database '@out@/exported' (format parquet)
import database '@folder@'
-- kind: attach and extensions
attach '@database@' as planted
attach '@database@' as planted (read_only)
attach '@out@/new.duckdb'; create table new.t as select 1
attach 'http://@listener@/x.duckdb'
attach ':memory:' as other
attach 'host=127.0.0.1 port=@postgres_port@ user=isotherm dbname=@postgres_database@' as pg (type postgres)
attach '' as pg (type postgres); from pg.public.planted
attach '@database@' as lite (type sqlite)
attach '@folder@' as lake (type ducklake)
detach memory
use system
use memory.information_schema
install httpfs
force install httpfs
install postgres
install postgres from 'http://@listener@'
install '@folder@/planted.duckdb_extension'
install shellfs from community
load httpfs
load postgres
load '@folder@/planted.duckdb_extension'
load '@postgres_extension@'; select * from postgres_scan('host=127.0.0.1 port=@postgres_port@ user=isotherm dbname=@postgres_database@', 'public', 'planted')
update extensions
-- kind: settings
set enable_external_access = true
set global enable_external_access = true; select content from read_text('@file@')
set lock_configuration = false; set enable_external_access = true; select content from read_text('@file@')
set allowed_paths = ['@file@']; select content from read_text('@file@')
set allowed_directories = ['/']; select content from read_text('@file@')
set temp_directory = '@out@'
set secret_directory = '@out@'
set extension_directory = '@out@'
set home_directory = '@folder@'
set file_search_path = '@folder@'; from 'planted.csv'
set log_query_path = '@out@/queries.log'; select 1
set profiling_output = '@out@/profile.json'; pragma enable_profiling = 'json'; select 1
set custom_extension_repository = 'http://@listener@'
set http_proxy = '@listener@'; select * from read_text('http://isotherm.invalid/x')
set s3_endpoint = '@listener@'; select * from read_text('s3://isotherm-planted/x')
set allow_unsigned_extensions = true
set allow_community_extensions = true
set disabled_filesystems = ''
set search_path = 'information_schema'
set memory_limit = '1TB'
set threads = 1000
set session variable_of_mine = 1
set variable planted = (select content from read_text('@file@')); select getvariable('planted')
set variable a = 1
reset all
reset enable_external_access; select content from read_text('@file@')
reset lock_configuration
pragma enable_profiling
pragma profiling_output = '@out@/profile.json'
pragma database_list
pragma database_size
pragma show_tables
pragma table_info('blocks')
pragma storage_info('blocks')
pragma metadata_info
pragma version
pragma platform
pragma user_agent
pragma functions
pragma collations
pragma import_database('@folder@')
pragma copy_database('memory', 'other')
pragma disable_checkpoint_on_shutdown
pragma force_checkpoint
pragma enable_logging
pragma memory_limit = '1TB'
pragma temp_directory = '@out@'
-- kind: other statements
call enable_logging(storage = 'file', storage_path = '@out@')
call enable_logging('HTTP', storage = 'stdout')
call enable_logging(level = 'trace')
call disable_logging()
call truncate_duckdb_logs()
call enable_profiling(save_location = '@out@/profile.json')
call duckdb_settings()
call pragma_database_size()
call force_checkpoint()
call read_text('@file@')
checkpoint
force checkpoint
vacuum analyze blocks
analyze
begin transaction
commit
abort
prepare p as select content from read_text('@file@')
execute p
deallocate p
explain select content from read_text('@file@')
explain analyze select content from read_text('@file@')
explain (format json) select * from '@file@'
describe '@file@'
describe select * from read_csv('@file@')
summarize '@file@'
show tables
show all tables
show databases
show schemas
show variables
show tables from system.main
create table t as select content from read_text('@file@'); from t
create temp table t as from '@file@'; from t
create or replace view blocks as select * from '@file@'; from blocks
create view v as select content from read_text('@file@'); from v
create macro m() as table select content from read_text('@file@'); from m()
create macro abs(x) as getenv('HOME')
create or replace macro count(x) as (select content from read_text('@file@'))
create function f(a) as a
create schema s
create sequence s; select nextval('s')
create type t as enum (select content from read_text('@file@'))
create type planted as varchar
create index i on isotherm_hot.blocks (block_number)
create secret s (type s3, key_id 'a', secret 'b', endpoint '@listener@')
create secret s (type s3, provider credential_chain)
create secret s (type s3, provider env); from duckdb_secrets()
create secret s (type http, extra_http_headers map {'x': 'y'})
create persistent secret s in local_file (type s3)
create trigger t after insert on blocks for each row execute 1
comment on view blocks is 'x'
drop view blocks
drop table isotherm_hot.blocks
drop secret s
drop macro abs
alter view blocks rename to planted
alter table isotherm_hot.blocks add column a int
insert into isotherm_hot.blocks select 1
insert into blocks values (1) returning *
update isotherm_hot.blocks set block_number = 1
delete from isotherm_hot.blocks
truncate isotherm_hot.blocks
merge into isotherm_hot.blocks using blocks on true when matched then delete
with c as (insert into isotherm_hot.blocks values (1) returning 1) from c
with c as (delete from isotherm_hot.blocks returning *) from c
pivot '@file@' on column0
pivot blocks on block_number using count(*)
unpivot '@file@' on columns(*) into name a value b
-- kind: several statements
select 1; select content from read_text('@file@')
select 1; select 2
select 1;; select content from read_text('@file@');
select 1 /* ; */ ; copy (select 1) to '@out@/second.csv'
select 1; drop view blocks; --
select 1; set enable_external_access = true; from '@file@'
select '; --'; from '@file@'
