import { defineConfig } from 'prisma/config';

// For `prisma migrate deploy` against an external database. The service itself migrates at start.
export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  datasource: { url: process.env['DATABASE_URL'] ?? 'postgresql://unset' },
});
