-- A tenant's policies are read by name: the tenants beside it are not looked at.

CREATE INDEX view_policies_of_tenant ON cmdiag.view_policies (tenant, name, id);
DROP INDEX cmdiag.view_policies_by_name;
