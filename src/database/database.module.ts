import { Module } from '@nestjs/common';
import { ConfigModule } from '../config/config.module.js';
import { DatabaseService, databaseProvider } from './database.service.js';
import { JobQueueService } from './job-queue.service.js';
import { NotificationsService } from './notifications.service.js';

@Module({
  imports: [ConfigModule],
  providers: [databaseProvider, JobQueueService, NotificationsService],
  exports: [DatabaseService, JobQueueService, NotificationsService],
})
export class DatabaseModule {}
