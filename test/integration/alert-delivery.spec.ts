import { SMTPServer } from 'smtp-server';
import { Webhook } from 'standardwebhooks';
import { uuidv7 } from 'uuidv7';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AlertDeliveryService } from '../../src/alerts/alert-delivery.service.js';
import { AlertsService } from '../../src/alerts/alerts.service.js';
import { MailClient } from '../../src/alerts/mail.client.js';
import { WebhookClient } from '../../src/alerts/webhook.client.js';
import { configFrom } from '../../src/config/config.module.js';
import { DELIVERY_ATTEMPTS_MAX } from '../../src/domain/alerts.js';
import { periodOf } from '../../src/domain/periods.js';
import { ApiClient, eventually, type ApiBody } from '../support/api-client.js';
import { startService, type TestService } from '../support/service.js';
import { startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.js';

const HOUR_MS = 3_600_000;

interface ReceivedMail {
  readonly to: readonly string[];
  readonly text: string;
}

let service: TestService;
let other: TestService;
let operator: ApiClient;
let receiver: WebhookReceiver;
let postOffice: SMTPServer;
const mails: ReceivedMail[] = [];
let isPostOfficeOpen = true;
/** Later than everything before: deliveries of other tests are not due again by then. */
let now = new Date();

beforeAll(async () => {
  receiver = await startWebhookReceiver();
  postOffice = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onRcptTo: (_address, _session, callback) => {
      callback(
        isPostOfficeOpen ? null : Object.assign(new Error('secret words'), { responseCode: 451 }),
      );
    },
    onData: (stream, session, callback) => {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const to = session.envelope.rcptTo.map(({ address }) => address);
        mails.push({ to, text: Buffer.concat(chunks).toString() });
        callback();
      });
    },
  });
  const smtpPort = await new Promise<number>((listening) => {
    const server = postOffice.listen(0, '127.0.0.1', () => {
      const address = server.address();
      listening(typeof address === 'object' ? (address?.port ?? 0) : 0);
    });
  });
  const environment = {
    UPSTREAM_BASE_URL: 'http://127.0.0.1:9',
    ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1',
    SMTP_URL: `smtp://127.0.0.1:${smtpPort}`,
    MAIL_FROM: 'Tollgate <billing@tollgate.example>',
    PUBLIC_URL: 'https://tollgate.example',
  };
  service = await startService(environment);
  other = await startService(environment, service.database);
  operator = new ApiClient(service.url);
});
afterEach(() => {
  receiver.answerWith((response) => response.writeHead(204).end());
  isPostOfficeOpen = true;
});
afterAll(async () => {
  await other.close();
  await service.close();
  await receiver.close();
  await new Promise<void>((closed) => {
    postOffice.close(closed);
  });
});

/** An account that has reached half of its limit; its webhook is `path` of the receiver. */
async function alerted(
  slug: string,
  settings: Readonly<Record<string, unknown>> = { webhookUrl: `${receiver.url}/${slug}` },
): Promise<{ accountId: string; secret: string }> {
  const { accountId } = await operator.addOrganization(slug);
  const { status, body, text } = await operator.put(`/api/organizations/${slug}/alerts`, settings);
  if (status !== 200) throw new Error(text);
  const { webhookSecret } = body['settings'] as { webhookSecret: string | null };
  await reach(accountId);
  return { accountId, secret: webhookSecret ?? '' };
}

async function reach(accountId: string): Promise<void> {
  await service.database.query(
    'UPDATE budgets SET used_pico_usd = limit_pico_usd / 2, period = $2 WHERE subject_id = $1',
    [accountId, periodOf(now)],
  );
  await service.app.get(AlertsService, { strict: false }).evaluate([accountId], now);
  await deliver();
}

/** All that is due by now, and what was under way. */
async function deliver(): Promise<void> {
  await service.app.get(AlertDeliveryService, { strict: false }).deliverDue(now);
}

function later(ms: number): void {
  now = new Date(now.getTime() + ms);
}

function receivedAt(slug: string): WebhookReceiver['received'] {
  return receiver.received.filter(({ path }) => path === `/${slug}`);
}

async function deliveriesOf(slug: string): Promise<readonly ApiBody[]> {
  const { body } = await operator.get(`/api/organizations/${slug}/alerts`);
  return body.data.flatMap((alert) => alert['deliveries'] as ApiBody[]);
}

describe('a webhook', () => {
  it('is signed so that the library of the standard verifies it, and nothing else does', async () => {
    const { accountId, secret } = await alerted('signed');
    expect(receivedAt('signed')).toHaveLength(1);
    const { body, headers } = receivedAt('signed')[0]!;
    const signature = {
      'webhook-id': String(headers['webhook-id']),
      'webhook-timestamp': String(headers['webhook-timestamp']),
      'webhook-signature': String(headers['webhook-signature']),
    };
    const message = new Webhook(secret).verify(body, signature) as Record<string, unknown>;
    expect(message).toMatchObject({
      type: 'budget.threshold_reached',
      data: { organization: 'signed', subjectId: accountId, threshold: 50, usedUsd: '50' },
    });
    expect(headers['content-type']).toBe('application/json');
    expect(() => new Webhook(secret).verify(`${body} `, signature)).toThrow();
    const other = `whsec_${Buffer.alloc(32).toString('base64')}`;
    expect(() => new Webhook(other).verify(body, signature)).toThrow();
  });

  it('is sent again after an answer of 500, with the same id, until it is taken, then never', async () => {
    receiver.answerWith((response) => response.writeHead(500).end('secret words'));
    await alerted('retried');
    expect(await deliveriesOf('retried')).toMatchObject([
      { state: 'pending', attempts: 1, lastError: 'the receiver answered 500', deliveredAt: null },
    ]);
    later(20_000);
    await deliver();
    expect(receivedAt('retried')).toHaveLength(1);
    later(15_000);
    await deliver();
    expect(receivedAt('retried')).toHaveLength(2);
    receiver.answerWith((response) => response.writeHead(200).end());
    later(70_000);
    await deliver();
    later(24 * HOUR_MS);
    await deliver();
    expect(receivedAt('retried')).toHaveLength(3);
    expect(new Set(receivedAt('retried').map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(await deliveriesOf('retried')).toMatchObject([
      { state: 'delivered', attempts: 3, lastError: null, nextAttemptAt: null },
    ]);
  });

  it('that nobody takes for most of a day is given up, and seen to be', async () => {
    receiver.answerWith((response) => response.writeHead(503).end());
    await alerted('given-up');
    const began = now.getTime();
    for (let attempt = 2; attempt <= DELIVERY_ATTEMPTS_MAX + 3; attempt += 1) {
      later(6 * HOUR_MS + 1);
      await deliver();
    }
    expect(now.getTime()).toBeGreaterThan(began + 24 * HOUR_MS);
    expect(receivedAt('given-up')).toHaveLength(DELIVERY_ATTEMPTS_MAX);
    expect(await deliveriesOf('given-up')).toMatchObject([
      { state: 'dead', attempts: DELIVERY_ATTEMPTS_MAX, nextAttemptAt: null },
    ]);
  });

  it('does not follow a redirect', async () => {
    receiver.answerWith((response, { path }) => {
      if (path === '/moved') response.writeHead(307, { location: `${receiver.url}/there` }).end();
      else response.writeHead(200).end();
    });
    await alerted('moved');
    expect(receivedAt('moved')).toHaveLength(1);
    expect(receivedAt('there')).toEqual([]);
    expect(await deliveriesOf('moved')).toMatchObject([
      { state: 'pending', lastError: 'the receiver answered 307: a redirect is not followed' },
    ]);
  });

  it('is not sent to a private address, not even one that was stored before', async () => {
    const { accountId } = await alerted('inside', { emails: [] });
    await service.database.query(
      `UPDATE alert_settings SET webhook_url = $2, webhook_secret = s.webhook_secret, webhook_secret_key_id = s.webhook_secret_key_id
       FROM (SELECT * FROM alert_settings WHERE webhook_secret IS NOT NULL LIMIT 1) s WHERE alert_settings.account_id = $1`,
      [accountId, receiver.url.replace('127.0.0.1', '127.0.0.2')],
    );
    await operator.put('/api/organizations/inside/alerts', {
      thresholds: [40],
      rotateWebhookSecret: true,
    });
    const before = receiver.received.length;
    await reach(accountId);
    expect(receiver.received).toHaveLength(before);
    expect(await deliveriesOf('inside')).toMatchObject([
      { state: 'pending', lastError: 'the host is a private address, or resolves to one' },
    ]);
  });

  it('is cut when the receiver is slow, whether it answers nothing or bit by bit', async () => {
    const config = configFrom({
      DEMO: '1',
      ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1',
    });
    const client = new WebhookClient(config, 200);
    const message = { id: uuidv7(), body: '{}', secret: `whsec_${'A'.repeat(43)}=` };
    const cut = { kind: 'failed', problem: 'no answer within 200 ms' };
    receiver.answerWith(() => undefined);
    expect(await client.post(`${receiver.url}/silent`, message)).toEqual(cut);
    receiver.answerWith((response) => {
      const drip = setInterval(() => response.socket?.write('x'), 20);
      response.on('close', () => {
        clearInterval(drip);
      });
      response.socket?.write('HTTP/1.1 200 OK\r\n');
    });
    expect(await client.post(`${receiver.url}/dripping`, message)).toEqual(cut);
    // Its status has come: that the rest never ends is no reason to send it again, or to wait.
    receiver.answerWith((response) => {
      const drip = setInterval(() => response.write('x'), 20);
      response.on('close', () => {
        clearInterval(drip);
      });
      response.writeHead(200).write('x');
    });
    const began = performance.now();
    expect(await client.post(`${receiver.url}/never-ending`, message)).toEqual({
      kind: 'delivered',
    });
    expect(performance.now() - began).toBeLessThan(2000);
  });

  it('is delivered by its status: of an answer without end no more is read than a little', async () => {
    let writtenBytes = 0;
    let hasClosed = false;
    receiver.answerWith((response) => {
      response.writeHead(200);
      const chunk = Buffer.alloc(64 * 1024);
      const pour = (): void => {
        while (!hasClosed && response.write(chunk)) writtenBytes += chunk.length;
      };
      response.on('drain', pour);
      response.on('close', () => {
        hasClosed = true;
      });
      pour();
    });
    await alerted('endless');
    await eventually(() => hasClosed);
    // What the buffers of the system took, and no stream of gigabytes.
    expect(writtenBytes).toBeLessThan(32 * 1024 * 1024);
    expect(await deliveriesOf('endless')).toMatchObject([{ state: 'delivered', attempts: 1 }]);
  });

  it('that is slow does not hold up those of others', async () => {
    let release: (() => void)[] = [];
    receiver.answerWith((response, { path }) => {
      if (!path.startsWith('/slow-')) response.writeHead(200).end();
      else release.push(() => response.writeHead(200).end());
    });
    const { accountId } = await operator.addOrganization('slow-one');
    await operator.put('/api/organizations/slow-one/alerts', {
      thresholds: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
      webhookUrl: `${receiver.url}/slow-one`,
    });
    const pending = reach(accountId);
    await eventually(() => release.length === 2);
    const quick = alerted('quick-one');
    await eventually(() => receivedAt('quick-one').length === 1);
    expect(receivedAt('slow-one')).toHaveLength(2);
    while ((await deliveriesOf('slow-one')).some(({ state }) => state !== 'delivered')) {
      for (const go of release.splice(0)) go();
      await new Promise((wake) => setImmediate(wake));
    }
    await Promise.all([pending, quick]);
    release = [];
    expect(receivedAt('slow-one')).toHaveLength(10);
  });

  it('is sent by one process, however many of them find it due', async () => {
    receiver.answerWith((response) => response.writeHead(500).end());
    await alerted('contested', {
      thresholds: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
      webhookUrl: `${receiver.url}/contested`,
    });
    expect(receivedAt('contested')).toHaveLength(10);
    receiver.answerWith((response) => response.writeHead(200).end());
    later(31_000);
    const both = [service, other].map(({ app }) =>
      app.get(AlertDeliveryService, { strict: false }),
    );
    await Promise.all(both.map((deliveries) => deliveries.deliverDue(now)));
    expect(receivedAt('contested')).toHaveLength(20);
    const ids = receivedAt('contested').map(({ headers }) => headers['webhook-id']);
    expect(new Set(ids.slice(10)).size).toBe(10);
  });

  it('that was taken out of the settings is told no more', async () => {
    receiver.answerWith((response) => response.writeHead(500).end());
    await alerted('removed');
    await operator.put('/api/organizations/removed/alerts', { webhookUrl: null });
    later(HOUR_MS);
    await deliver();
    expect(receivedAt('removed')).toHaveLength(1);
    expect(await deliveriesOf('removed')).toMatchObject([
      { state: 'dead', lastError: expect.stringContaining('taken out of the settings') as string },
    ]);
  });

  it('whose process died in the middle is taken up again after its lease, and not before', async () => {
    receiver.answerWith((response) => response.writeHead(500).end());
    const { accountId } = await alerted('orphaned');
    receiver.answerWith((response) => response.writeHead(200).end());
    const lease = new Date(now.getTime() + 60_000);
    await service.database.query(
      'UPDATE alert_deliveries SET attempts = attempts + 1, next_attempt_at = $2 WHERE account_id = $1',
      [accountId, lease.toISOString()],
    );
    later(59_000);
    await deliver();
    expect(receivedAt('orphaned')).toHaveLength(1);
    later(2_000);
    await deliver();
    expect(receivedAt('orphaned')).toHaveLength(2);
    expect(await deliveriesOf('orphaned')).toMatchObject([{ state: 'delivered', attempts: 3 }]);
  });
});

describe('an e-mail', () => {
  const mailsTo = (address: string): readonly ReceivedMail[] =>
    mails.filter(({ to }) => to.includes(address));

  it('reaches each address by itself, as text and escaped HTML', async () => {
    const { accountId } = await operator.addOrganization('mailed');
    await operator.patch('/api/organizations/mailed', { name: 'Mail & <b>Co</b>' });
    await operator.put('/api/organizations/mailed/alerts', {
      emails: ['ann@example.com', 'bob@example.com'],
    });
    await reach(accountId);
    expect(mailsTo('ann@example.com')).toHaveLength(1);
    expect(mailsTo('bob@example.com')).toHaveLength(1);
    const { to, text } = mailsTo('ann@example.com')[0]!;
    expect(to).toEqual(['ann@example.com']);
    expect(text).toMatch(/^From: Tollgate <billing@tollgate\.example>\r$/m);
    expect(text).toMatch(/^Subject: Mail & <b>Co<\/b>: 50 % of the monthly pay-as-you-go limit/m);
    expect(text).toContain('Content-Type: text/plain');
    expect(text).toContain('Content-Type: text/html');
    expect(text).toContain('Mail &amp; &lt;b&gt;Co&lt;/b&gt;');
    expect(text).toContain('https://tollgate.example');
    expect(text).not.toContain('bob@example.com');
  });

  it('is sent again when the server would not take it, and says no more than why', async () => {
    isPostOfficeOpen = false;
    await alerted('patient', { emails: ['cleo@example.com'] });
    expect(await deliveriesOf('patient')).toMatchObject([
      {
        channel: 'email',
        state: 'pending',
        attempts: 1,
        lastError: 'the mail server answered 451',
      },
    ]);
    isPostOfficeOpen = true;
    later(31_000);
    await deliver();
    later(24 * HOUR_MS);
    await deliver();
    expect(mailsTo('cleo@example.com')).toHaveLength(1);
    expect(await deliveriesOf('patient')).toMatchObject([{ state: 'delivered', attempts: 2 }]);
  });

  it('that cannot be sent says why in a few words', async () => {
    const text = { subject: 'x', text: 'x', html: 'x' };
    const clientOf = (environment: Readonly<Record<string, string>>): MailClient =>
      new MailClient(configFrom({ DEMO: '1', ...environment }));
    expect(await clientOf({}).send('dan@example.com', uuidv7(), text)).toEqual({
      kind: 'failed',
      problem: 'SMTP_URL is not set',
    });
    const away = {
      SMTP_URL: 'smtp://user:password@127.0.0.1:9',
      MAIL_FROM: 'a@example.com',
      PUBLIC_URL: 'https://tollgate.example',
    };
    expect(await clientOf(away).send('dan@example.com', uuidv7(), text)).toEqual({
      kind: 'failed',
      problem: 'the mail server could not be used (ESOCKET)',
    });
  });
});
