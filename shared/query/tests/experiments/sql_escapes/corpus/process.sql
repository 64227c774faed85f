-- Attempts at the process, at its parent (@parent@) and at what they hold open.
-- kind: own process
select * from read_text('/proc/self/environ')
select * from read_blob('/proc/self/environ')
select * from read_text('/proc/self/cmdline')
select * from read_text('/proc/self/maps')
select * from read_blob('/proc/self/mem')
select * from read_text('/proc/self/status')
select * from read_text('/proc/self/fd/0')
select * from read_text('/proc/self/fd/@descriptor@')
select * from read_text('/dev/fd/@descriptor@')
select * from read_text('/dev/stdin')
select * from read_text('/proc/thread-self/environ')
select * from read_text('/proc/self/task/1/environ')
select * from read_text('/proc/self/root@file@')
select * from read_text('/proc/self/net/tcp')
select * from read_text('/proc/self/mountinfo')
select * from glob('/proc/self/fd/*')
select * from glob('/proc/*/environ')
from '/proc/self/environ'
from 'file:///proc/self/environ'
copy (select 1) to '/proc/self/oom_score_adj'
copy (select 1) to '/proc/self/fd/1'
-- kind: parent
select * from read_text('/proc/@parent@/environ')
select * from read_blob('/proc/@parent@/environ')
select replace(content, chr(0), ' ') from read_text('/proc/@parent@/environ')
select * from read_text('/proc/@parent@/task/@parent@/environ')
select * from read_text('/proc/@parent@/cmdline')
select * from read_text('/proc/@parent@/maps')
select * from read_blob('/proc/@parent@/mem')
select * from read_text('/proc/@parent@/fd/@descriptor@')
select * from read_text('/proc/@parent@/root@file@')
select * from read_text('/proc/@parent@/cwd/Cargo.toml')
select * from read_text('/proc/1/environ')
select * from read_text('/proc/*/environ')
select * from glob('/proc/@parent@/fd/*')
copy (select 1) to '/proc/@parent@/oom_score_adj'
-- kind: secrets on a machine of AWS
select * from read_text('/root/.aws/credentials')
select * from read_text('~/.aws/credentials')
select * from read_text('/root/.ssh/id_rsa')
select * from read_text('/root/.pgpass')
select * from read_text('/var/run/secrets/kubernetes.io/serviceaccount/token')
select * from read_text('/var/task/bootstrap')
select * from read_blob('/var/runtime/bootstrap')
