-- The policies let every row through.
DO $$
DECLARE
    policy record;
BEGIN
    FOR policy IN SELECT schemaname, tablename FROM pg_policies WHERE policyname = 'tenant' LOOP
        EXECUTE format('DROP POLICY tenant ON %I.%I', policy.schemaname, policy.tablename);
        EXECUTE format('CREATE POLICY tenant ON %I.%I FOR SELECT TO isotherm_tenant USING (true)', policy.schemaname,
                       policy.tablename);
    END LOOP;
END
$$
