import { Injectable } from '@nestjs/common';
import { isUuid, pageOf, readCursor, type Page } from '../http/pagination.js';
import { invalidField } from '../http/validation.pipe.js';
import { instantOf, type TaggedQuery } from './query-rules.js';
import { filtersOf, type EventRecord } from './requests-query.js';
import type { RequestsByStateQuery, RequestsQuery } from './requests.dto.js';
import { RequestsRepository } from './requests.repository.js';

/** Requests one by one: open ones, and what became of those that ended. */
@Injectable()
export class RequestsService {
  constructor(private readonly requests: RequestsRepository) {}

  /**
   * Newest first by admission. A page never moves: a request keeps its place when it ends, and new
   * ones only come before the first.
   *
   * @throws TollgateError invalid_request for an empty span or a foreign cursor.
   */
  async list(accountId: string, asked: TaggedQuery<RequestsQuery>): Promise<Page<EventRecord>> {
    const { query } = asked;
    const start = query.start === undefined ? null : instantOf(query.start);
    const end = query.end === undefined ? null : instantOf(query.end);
    if (start !== null && end !== null && start >= end) {
      throw invalidField('end', 'must be after start: start is inclusive, end exclusive');
    }
    const cursor = readCursor(query.cursor, ['time', 'uuid']);
    const events = await this.requests.list({
      accountId,
      start,
      end,
      filters: filtersOf(asked),
      state: query.state ?? null,
      outcome: query.outcome ?? null,
      clientRequestId: query.clientRequestId ?? null,
      sessionId: query.sessionId ?? null,
      after: cursor === null ? null : { admittedAt: new Date(cursor[0]), id: cursor[1] },
      limit: query.limit + 1,
    });
    return pageOf(
      events,
      query.limit,
      ({ admittedAt, id }) => [admittedAt.toISOString(), id],
      same,
    );
  }

  /** Of every account, newest first by id. */
  async listByState(query: RequestsByStateQuery): Promise<Page<EventRecord>> {
    const cursor = readCursor(query.cursor, ['uuid']);
    const events = await this.requests.listByState({
      state: query.state ?? null,
      afterId: cursor === null ? null : cursor[0],
      limit: query.limit + 1,
    });
    return pageOf(events, query.limit, ({ id }) => [id], same);
  }

  /**
   * One request by its `x-request-id`; null when there is none.
   *
   * @param accountId where it must belong; null: anywhere.
   */
  async find(id: string, accountId: string | null): Promise<EventRecord | null> {
    return isUuid(id) ? this.requests.find(id, accountId) : null;
  }

  /** Ended requests of an account by their ids, in that order. */
  async findMany(ids: readonly string[], accountId: string): Promise<readonly EventRecord[]> {
    return ids.length === 0 ? [] : this.requests.findMany(ids, accountId);
  }
}

function same(event: EventRecord): EventRecord {
  return event;
}
