import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { createApp } from '../../src/app.js';
import { freshDatabase, type TestDatabase } from './database.js';

export const ADMIN_TOKEN = 'test-admin-token-0123456789';

export interface TestService {
  readonly url: string;
  readonly app: NestFastifyApplication;
  readonly database: TestDatabase;
  close(): Promise<void>;
}

/** The whole service in this process, on a fresh database and a free port. */
export async function startService(
  environment: Readonly<Record<string, string>>,
  database?: TestDatabase,
): Promise<TestService> {
  const own = database ?? (await freshDatabase());
  const app = await createApp({
    PORT: '0',
    LOG_LEVEL: 'error',
    DEMO: '0',
    DATABASE_URL: own.url,
    DATABASE_POOL_MAX: '4',
    ADMIN_TOKEN,
    ENCRYPTION_KEY: '00'.repeat(32),
    UPSTREAM_API_KEY: 'sim-key',
    ...environment,
  });
  await app.listen(0, '127.0.0.1');
  return {
    url: (await app.getUrl()).replace('[::1]', '127.0.0.1'),
    app,
    database: own,
    close: async () => {
      // A client of the test may keep a connection that it never used: nothing would end that.
      app.getHttpServer().closeAllConnections();
      await app.close();
      if (database === undefined) await own.drop();
    },
  };
}
