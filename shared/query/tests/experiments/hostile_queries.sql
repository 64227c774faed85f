-- Queries that want too much: one a line. None of them may be answered within two seconds and half a gigabyte.
select length(repeat(repeat('x', 10000), 300000))
select count(*) from range(1000000000000)
select list_sort(range(100000000))
select sum(a.i * b.j) from range(1000000) a(i), range(1000000) b(j)
select count(*) from blocks a, blocks b, blocks c, blocks d, blocks e, blocks f, blocks g, blocks h where a.block_number + h.block_number <> 1
with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n
with recursive n(i) as (select 1::hugeint union all select i * 2 % 1000003 from n) select max(i) from n
with recursive n(s) as (select 'x' union all select s || s from n) select max(length(s)) from n
select sum(i) from generate_series(1, 1000000000000000000) g(i)
select string_agg(i::varchar, ',') from range(1000000000) t(i)
select length(string_agg(repeat('x', 1000), '')) from range(10000000)
select list(i) from range(1000000000) t(i)
select count(*) from (select unnest(range(100000)) from range(1000000))
select count(*) from (select unnest(range(100000000000)))
select i, count(*) from range(1000000000) t(i) group by i order by 2 desc limit 1
select count(distinct i) from range(2000000000) t(i)
select * from range(2000000000) t(i) order by hash(i) limit 1 offset 1000000000
select sum(a.i) from range(100000000) a(i) join range(100000000) b(j) on a.i % 1000 = b.j % 1000
select count(*) from range(200000000) a(i) join range(200000000) b(j) on a.i = b.j
select max(s) from (select sum(i) over (order by i rows between 1000000 preceding and 1000000 following) s from range(20000000) t(i))
select max(s) from (select quantile_cont(i, 0.5) over (order by i rows between 500000 preceding and current row) s from range(10000000) t(i))
select max(levenshtein(repeat('ab', 20000) || i::varchar, repeat('ba', 20000))) from range(100000) t(i)
select max(damerau_levenshtein(repeat('ab', 20000), repeat('ba', 20000) || i::varchar)) from range(100000) t(i)
select max(jaccard(repeat('ab', 1000000) || i::varchar, repeat('ba', 1000000))) from range(1000000) t(i)
select count(*) from range(1000000000) t(i) where regexp_matches(repeat('a', 1000) || i::varchar, '(a*)*(b|c)*d(a*)*$')
select max(length(regexp_replace(repeat('ab', 1000000) || i::varchar, '(a|b)+?', 'xyzxyzxyz', 'g'))) from range(1000000) t(i)
select count(*) from range(1000000000) t(i) where repeat('ab', 1000) || i::varchar like '%a%b%a%b%a%b%a%b%a%b%z%'
select max(length(lpad('x', 1000000000, i::varchar))) from range(1000000) t(i)
select max(length(rpad('x', 2000000000, 'y'))) from range(1000) t(i)
select max(length(printf('%1000000000d', i))) from range(1000) t(i)
select max(length(format('{:>1000000000}', i))) from range(1000) t(i)
select max(length(bitstring('1', 2000000000)::varchar)) from range(1000) t(i)
select max(length(to_base(i, 2, 64))) from range(100000000000) t(i)
select histogram(i) from range(1000000000) t(i)
select max(json_array_length(json_array(repeat('x', 100000000), i))) from range(1000000) t(i)
select count(*) from range(100000000) t(i) where json_extract_string('{"a": "' || repeat('x', 100000) || '"}', '$.a') = i::varchar
select max(len(list_transform(range(10000000), x -> list_sum(range(x))))) from range(1000) t(i)
select list_reduce(range(100000000), (a, b) -> a + b) from range(1000) t(i)
select max(factorial((i % 34)::integer)) from range(1000000000000) t(i)
select median(random()) from range(5000000000) t(i)
select max(sha256(repeat('x', 100000000) || i::varchar)) from range(1000000) t(i)
select mode(i), approx_top_k(i, 1000) from range(100000000000) t(i)
select max(length(array_to_string(range(50000000), ','))) from range(1000) t(i)
select max(len(list_transform(range(5000000), x -> repeat('x', 300)))) from range(1000) t(i)
select max(len(string_split(repeat(repeat('x,', 10000), 5000 + (i % 2)::integer), ','))) from range(1000) t(i)
select max(length(repeat(repeat('x', 100000), 10 + (i % 2)::integer))) from range(1000000000) t(i)
