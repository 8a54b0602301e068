import { Injectable } from '@nestjs/common';
import { AuditRepository, type AuditEntry } from './audit.repository.js';

/** Who did what, newest first. Entries are written by the transactions that they tell about. */
@Injectable()
export class AuditService {
  constructor(private readonly audit: AuditRepository) {}

  async list(limit: number, beforeId: string | null): Promise<readonly AuditEntry[]> {
    return this.audit.list(limit, beforeId);
  }
}
