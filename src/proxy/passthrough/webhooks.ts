import { scanJson, type JsonVisitor } from '../body/json-scanner.js';

/**
 * Fields by which a provider is told to send a result elsewhere. A result that does not pass through
 * us has no price, and who asked for it could name any address.
 */
export const WEBHOOK_FIELDS: ReadonlySet<string> = new Set([
  'fal_webhook',
  'webhook',
  'webhooks',
  'webhook_url',
  'webhookUrl',
  'webhook_uri',
  'webhook_events_filter',
  'callback_url',
  'callbackUrl',
]);

const NAME_MAX_BYTES = Math.max(...[...WEBHOOK_FIELDS].map((name) => name.length));
/** An escape of one character takes up to six bytes: `\u0077`. */
const ESCAPED_MAX_BYTES = NAME_MAX_BYTES * 6;

/**
 * The first field of a JSON body that asks for a webhook, at any depth, however it is escaped and
 * also where a later field of the same name would hide it; null: there is none. A body that is no
 * JSON has none.
 *
 * @param isNested false: only the outermost object is read as fields of the request; what lies
 *   deeper (messages, a tool's schema) is the caller's own text.
 */
export function webhookFieldOf(body: Buffer, isNested: boolean): string | null {
  let found: string | null = null;
  let depth = 0;
  const visitor: JsonVisitor = {
    key: (start, end, decodedBytes) => {
      if (found !== null || decodedBytes > NAME_MAX_BYTES || end - start > ESCAPED_MAX_BYTES)
        return;
      if (!isNested && depth > 1) return;
      const name = nameOf(body, start, end, decodedBytes);
      if (WEBHOOK_FIELDS.has(name)) found = name;
    },
    string: () => undefined,
    scalar: () => undefined,
    open: () => {
      depth += 1;
    },
    close: () => {
      depth -= 1;
    },
  };
  return scanJson(body, visitor).ok ? found : null;
}

function nameOf(body: Buffer, start: number, end: number, decodedBytes: number): string {
  const written = body.toString('utf8', start, end);
  return decodedBytes === end - start ? written : (JSON.parse(`"${written}"`) as string);
}
