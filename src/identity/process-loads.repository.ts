import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { ProcessLoad } from '../domain/allowance.js';

/** One statement a beat: writes its own figure, deletes those of the dead, reads those of the others. */
const EXCHANGE = `
WITH own AS (
  INSERT INTO process_loads AS p (process_id, in_flight, capacity, seen_at)
  VALUES ($1::text::uuid, $2::int, $3::int, clock_timestamp())
  ON CONFLICT (process_id) DO UPDATE
  SET in_flight = excluded.in_flight, capacity = excluded.capacity, seen_at = excluded.seen_at
),
dead AS (
  DELETE FROM process_loads
  WHERE process_id <> $1::text::uuid AND seen_at < clock_timestamp() - interval '1 minute'
)
SELECT in_flight, capacity FROM process_loads
WHERE process_id <> $1::text::uuid AND seen_at >= clock_timestamp() - $4::float8 * interval '1 ms'`;

@Injectable()
export class ProcessLoadsRepository {
  constructor(private readonly database: DatabaseService) {}

  /** @returns the figures of the other processes that were seen within `staleMs`. */
  async exchange(
    processId: string,
    own: ProcessLoad,
    staleMs: number,
  ): Promise<readonly ProcessLoad[]> {
    const records = await this.database.prisma.$queryRawUnsafe<
      { in_flight: number; capacity: number }[]
    >(EXCHANGE, processId, own.inFlight, own.capacity, staleMs);
    return records.map(({ in_flight, capacity }) => ({ inFlight: in_flight, capacity }));
  }

  async leave(processId: string): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `DELETE FROM process_loads WHERE process_id = $1::text::uuid`,
      processId,
    );
  }
}
