import { Injectable } from '@nestjs/common';
import { writeAudit } from '../database/audit.js';
import { DatabaseService } from '../database/database.service.js';
import type { Actor } from '../http/actor.js';

@Injectable()
export class PeriodsRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Notes who had a month closed, and what came of it. */
  async noteClose(
    period: string,
    outcome: Readonly<Record<string, number>>,
    actor: Actor,
    at: Date,
  ): Promise<void> {
    await this.database.prisma.$transaction((tx) =>
      writeAudit(tx, actor, at, {
        action: 'period.close',
        subject: `period:${period}`,
        before: null,
        after: outcome,
      }),
    );
  }
}
