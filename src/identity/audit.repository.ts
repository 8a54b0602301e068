import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { DatabaseService } from '../database/database.service.js';
import { Prisma } from '../database/prisma/client.js';
import type { Actor } from '../http/actor.js';
import type { Transaction } from './transactions.repository.js';

/** JSON that may stand in the audit log: never a secret. */
export type AuditState = Readonly<Record<string, unknown>> | null;

export interface AuditEntry {
  readonly id: string;
  readonly at: Date;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly before: unknown;
  readonly after: unknown;
  readonly address: string | null;
}

/** Writes one entry in the transaction of what it tells about. */
export async function writeAudit(
  tx: Transaction,
  actor: Actor,
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

@Injectable()
export class AuditRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Newest first. */
  async list(limit: number, beforeId: string | null): Promise<readonly AuditEntry[]> {
    return this.database.prisma.auditEntry.findMany({
      ...(beforeId === null ? {} : { where: { id: { lt: beforeId } } }),
      orderBy: { id: 'desc' },
      take: limit,
    });
  }
}

function jsonOf(state: AuditState): Prisma.InputJsonValue | typeof Prisma.DbNull {
  if (state === null) return Prisma.DbNull;
  return JSON.parse(JSON.stringify(state)) as Prisma.InputJsonValue;
}
