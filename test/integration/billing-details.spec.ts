import { afterAll, beforeAll, expect, it } from 'vitest';
import { startBilling, type BillingAccount, type BillingUnderTest } from './billing-fixture.js';

let billing: BillingUnderTest;
let account: BillingAccount;
let path: string;

beforeAll(async () => {
  billing = await startBilling();
  account = await billing.addAccount('addressed');
  path = `${account.path}/billing-details`;
});

afterAll(async () => {
  await billing.close();
});

const NONE = { name: null, address: null, email: null, taxId: null, reference: null };
const DETAILS = {
  name: 'Example Ltd',
  address: '1 Main Street\n12345 Town',
  email: 'books@example.com',
  taxId: 'DE123456789',
  reference: 'PO-7',
};

it('is nothing until it is set, replaced as a whole, and audited', async () => {
  expect(await account.reader.get(path)).toMatchObject({ status: 200, body: NONE });
  expect(await billing.api.put(path, DETAILS)).toMatchObject({ status: 200, body: DETAILS });
  expect((await account.reader.get(path)).body).toEqual(DETAILS);
  const name = 'Example SE';
  const address = ' 2 Main Street\r\nTown ';
  expect((await billing.api.put(path, { name, address })).body).toEqual({
    ...NONE,
    name,
    address: '2 Main Street\nTown',
  });
  const { body } = await billing.api.get('/api/audit-log?limit=1');
  expect(body.data).toMatchObject([
    { action: 'billing_details.set', before: DETAILS, after: { name, taxId: null } },
  ]);
});

it('is set by the operator and tokens with limits.write, read with billing.read', async () => {
  const { secret: writer } = await billing.api.addToken(account.slug, { scopes: ['limits.write'] });
  expect((await billing.api.as(writer).put(path, DETAILS)).status).toBe(200);
  expect((await billing.api.as(writer).get(path)).status).toBe(403);
  expect((await account.reader.put(path, NONE)).status).toBe(403);
  const foreign = await billing.addAccount('elsewhere');
  expect((await foreign.reader.get(path)).status).toBe(404);
  expect((await account.reader.get(path)).body).toEqual(DETAILS);
});

it.each([
  ['name', ''],
  ['name', 'a\u0000b'],
  ['name', 'two\nlines'],
  ['name', 'x'.repeat(201)],
  ['name', 7],
  ['address', ' \n '],
  ['address', 'a\u0000b'],
  ['address', 'a\tb'],
  ['address', 'a\ud800b'],
  ['address', 'x'.repeat(1001)],
  ['email', 'nobody'],
  ['email', 'a@b\u0000.example'],
  ['taxId', 'x'.repeat(65)],
  ['reference', {}],
  ['iban', 'DE00'],
])('refuses %s %j and changes nothing', async (field, value) => {
  const answer = await billing.api.put(path, { ...DETAILS, [field]: value });
  expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
  expect(answer.body.error.message).toContain(field);
  expect((await account.reader.get(path)).body).toEqual(DETAILS);
});

it('refuses what is no object', async () => {
  expect((await billing.api.put(path, '[]')).status).toBe(400);
  expect((await billing.api.put(path, 'null')).status).toBe(400);
});
