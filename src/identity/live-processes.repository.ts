import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';

/** The processes that serve on this database, by the heartbeats of the journal's owners. */
@Injectable()
export class LiveProcessesRepository {
  constructor(private readonly database: DatabaseService) {}

  async count(staleMs: number): Promise<number> {
    const [record] = await this.database.prisma.$queryRawUnsafe<{ live: number }[]>(
      `SELECT count(*)::int AS live FROM journal_owners
       WHERE heartbeat_at >= clock_timestamp() - $1::float8 * interval '1 ms'`,
      staleMs,
    );
    return record?.live ?? 0;
  }
}
