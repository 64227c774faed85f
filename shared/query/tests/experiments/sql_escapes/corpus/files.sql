-- Attempts at files: one a line. @file@, @json@ and @database@ hold a planted secret, @folder@ holds them, @out@ is a folder to write to.
-- kind: replacement scan
from '@file@'
select * from '@file@'
select * from "@file@"
from '@json@'
from 'file://@file@'
from 'file:@file@'
from 'FILE://localhost@file@'
from '@folder@/*.csv'
from '@folder@/**'
from '@folder@/planted.*'
from '@folder@/./planted.csv'
from '@folder@/../@name@/planted.csv'
from '/proc/self/root@file@'
from '/proc/self/cwd@file@'
from '/dev/../@file@'
from '~/planted.csv'
from '//@file@'
from blocks, '@file@'
from blocks left join '@file@' on true
from '@file@' tablesample 100%
from '@file@' t(a) where a is not null
table '@file@'
from blocks semi join '@file@' on true
select (select count(*) from '@file@')
select * from blocks where exists (from '@file@')
with x as (from '@file@') from x
with recursive x(a) as (select '1' union all select column0 from '@file@') from x
select 1 union by name from '@file@'
select * from (values (1)) t(a), lateral (from '@file@') u
select array(select column0 from '@file@')
from '/etc/passwd'
from '/etc/shadow'
from '/etc/hosts'
-- kind: table functions that read
select content from read_text('@file@')
select content from read_blob('@file@')
select * from read_csv('@file@')
select * from read_csv('@file@', header = false, columns = {'a': 'VARCHAR'})
select * from read_csv('@file@', ignore_errors = true, store_rejects = true)
select * from read_csv_auto('@file@')
select * from read_json('@json@')
select * from read_json('@file@', format = 'unstructured')
select * from read_json_auto('@json@')
select * from read_json_objects('@json@')
select * from read_json_objects_auto('@json@')
select * from read_ndjson('@json@')
select * from read_ndjson_auto('@json@')
select * from read_ndjson_objects('@json@')
select * from read_parquet('@file@')
select * from parquet_scan('@file@')
select * from parquet_metadata('@file@')
select * from parquet_schema('@file@')
select * from parquet_file_metadata('@file@')
select * from parquet_kv_metadata('@file@')
select * from parquet_full_metadata('@file@')
select * from parquet_bloom_probe('@file@', 'a', 1)
select * from sniff_csv('@file@')
select * from glob('@folder@/*')
select * from glob('@folder@/**')
select * from read_duckdb('@database@')
select * from read_text(['@file@', '@json@'])
select * from read_text(concat('@folder@', '/planted.csv'))
select * from read_text('@folder@/' || 'planted.csv')
select * from read_text(chr(47) || 'etc' || chr(47) || 'passwd')
select * from read_text((select '@file@'))
select filename, size from read_blob('@folder@/*')
select hex(content) from read_blob('@file@')
select reverse(content) from read_text('@file@')
select content from read_text('@file@') where content like 'planted%'
select unnest(string_split(content, '')) from read_text('@file@')
select * from read_xlsx('@file@')
select * from st_read('@file@')
select * from sqlite_scan('@database@', 'planted')
select * from delta_scan('@folder@')
select * from iceberg_scan('@folder@')
select * from postgres_scan('host=127.0.0.1 port=@postgres_port@ user=isotherm', 'public', 'planted')
select * from postgres_query('pg', 'select secret from planted')
select * from mysql_query('m', 'select 1')
select * from arrow_scan(1, 2, 3)
select * from arrow_scan_dumb(1, 2, 3)
select * from seq_scan('blocks')
select * from read_text('@file@') positional join blocks
from read_text('@file@') as t(a, b, c, d) select a
from main.read_text('@file@')
from system.main.read_text('@file@')
from memory.main.read_csv('@file@')
from temp.read_text('@file@')
-- kind: function names spelled otherwise
from READ_TEXT('@file@')
from Read_Csv_Auto('@file@')
from "read_text"('@file@')
from "READ_TEXT"("file" := '@file@')
from read_text /* a comment */ ('@file@')
from read_text('@file@'::varchar)
from read_text(cast('@file@' as varchar))
from read_csv(path := '@file@')
from read_csv('@file@', union_by_name = true, filename = true, hive_partitioning = true)
