import { createHash, createHmac, hkdfSync } from 'node:crypto';
import type { Config } from '../config/config.js';
import type { Refusal } from '../domain/errors.js';
import type { Journal } from '../metering/journal.js';
import type { Call, RoutedRequest } from './call.js';
import { Holds } from './holds.js';
import * as refusals from './refusals.js';

/** Step 4: nothing goes to a provider before its worst case is held. */
export class Admissions {
  private readonly holds: Holds;
  private readonly bodyMacKey: Buffer;

  constructor(
    config: Config,
    private readonly journal: Journal,
    encryptionKey: Buffer,
  ) {
    this.holds = new Holds(config);
    this.bodyMacKey = Buffer.from(hkdfSync('sha256', encryptionKey, '', 'idempotency body', 32));
  }

  /** Null: `call.event` is what was admitted. */
  async admit(call: Call, routed: RoutedRequest): Promise<Refusal | null> {
    const { identity, marks, body } = routed;
    const result = await this.journal.admit({
      id: call.id,
      createdAt: call.createdAt,
      accountId: identity.accountId,
      memberId: identity.memberId,
      tokenId: identity.tokenId,
      upstream: routed.routes[0]?.upstream ?? '',
      model: routed.model,
      task: routed.endpoint.task,
      isStream: routed.facts.stream === true,
      tags: marks.tags,
      sessionId:
        marks.sessionId ??
        routed.facts.sessionId?.slice(0, 256).replaceAll('\0', '').toWellFormed() ??
        null,
      clientRequestId: marks.clientRequestId,
      hold: this.holds.of(routed),
      idempotency:
        marks.idempotencyKey === null
          ? null
          : {
              key: marks.idempotencyKey,
              bodyMac: this.macOf(call, body.digest),
            },
    });
    if (result.kind !== 'admitted') return refusals.admissionRefusal(result);
    call.event = result.event;
    return null;
  }

  /** Of where a request goes and what it says: the same body somewhere else is another request. */
  private macOf({ endpoint, pass }: Call, bodyDigest: Buffer): Buffer {
    const route = pass === null ? endpoint.name : `/${pass.provider}${pass.path}`;
    // Of one length each, so that no path can run on into a body.
    const routeDigest = createHash('sha256').update(route).digest();
    return createHmac('sha256', this.bodyMacKey).update(routeDigest).update(bodyDigest).digest();
  }
}
