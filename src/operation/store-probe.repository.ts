import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';

const ANSWER_MAX_MS = 2000;

/** Asks the store for a sign of life. */
@Injectable()
export class StoreProbe {
  constructor(private readonly database: DatabaseService) {}

  /** False when it does not answer within two seconds, for whatever reason. */
  async answers(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => {
        resolve(false);
      }, ANSWER_MAX_MS);
    });
    const answer = this.database.prisma.$queryRawUnsafe('SELECT 1').then(
      () => true,
      () => false,
    );
    return Promise.race([answer, silence]).finally(() => {
      clearTimeout(timer);
    });
  }
}
