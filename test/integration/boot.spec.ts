import { expect, it } from 'vitest';
import { startService } from '../support/service.js';

it('boots on a fresh database and closes cleanly', async () => {
  const service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' });
  const owners = await service.database.query('SELECT * FROM journal_owners');
  expect(owners).toHaveLength(1);
  await service.close();
});
