import { uuidv7 } from 'uuidv7';
import { Prisma } from './prisma/client.js';

/** JSON that may stand in the audit log: never a secret. */
export type AuditState = Readonly<Record<string, unknown>> | null;

/** Writes one entry of the audit log in the transaction of what it tells about. */
export async function writeAudit(
  tx: Prisma.TransactionClient,
  actor: { readonly name: string; readonly address: string | null },
  at: Date,
  entry: {
    readonly action: string;
    readonly subject: string;
    readonly before: AuditState;
    readonly after: AuditState;
  },
): Promise<void> {
  await tx.auditEntry.create({
    data: {
      id: uuidv7(),
      at,
      actor: actor.name,
      address: actor.address,
      action: entry.action,
      subject: entry.subject,
      before: jsonOf(entry.before),
      after: jsonOf(entry.after),
    },
  });
}

function jsonOf(state: AuditState): Prisma.InputJsonValue | typeof Prisma.DbNull {
  if (state === null) return Prisma.DbNull;
  return JSON.parse(JSON.stringify(state)) as Prisma.InputJsonValue;
}
