import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import { classifySqlFailure } from '../database/sql-errors.js';
import type { PlanChange } from '../domain/plans.js';
import type { Actor } from '../http/actor.js';
import { insertAccount, lockAccount, stateOf, subjectOf } from './accounts.repository.js';
import { writeAudit } from './audit.repository.js';
import type { Organization } from './organization.js';
import { inTransaction } from './transactions.repository.js';

@Injectable()
export class OrganizationsRepository {
  constructor(private readonly database: DatabaseService) {}

  /** With its budget; `slug_taken` when another process or person was first. */
  async create(
    organization: Organization,
    start: PlanChange,
    actor: Actor,
  ): Promise<'created' | 'slug_taken'> {
    try {
      await inTransaction(this.database, async (tx) => {
        await insertAccount(tx, organization, start);
        await writeAudit(tx, actor, organization.createdAt, {
          action: 'organization.create',
          subject: subjectOf(organization),
          before: null,
          after: stateOf(organization),
        });
      });
      return 'created';
    } catch (error) {
      if (isSlugTaken(error)) return 'slug_taken';
      throw error;
    }
  }

  async rename(id: string, name: string, actor: Actor, at: Date): Promise<void> {
    await inTransaction(this.database, async (tx) => {
      const before = await lockAccount(tx, id);
      if (before.kind !== 'organization') throw new Error(`account ${id} is no organization`);
      await tx.account.update({ where: { id }, data: { name } });
      const after = { ...before, name };
      await writeAudit(tx, actor, at, {
        action: 'organization.update',
        subject: subjectOf(before),
        before: stateOf(before),
        after: stateOf(after),
      });
    });
  }
}

function isSlugTaken(error: unknown): boolean {
  if ((error as { code?: unknown }).code === 'P2002') return true;
  const failure = classifySqlFailure(error);
  return failure.kind === 'unique' && failure.constraint === 'accounts_slug_key';
}
