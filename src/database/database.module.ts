import { Module } from '@nestjs/common';
import { ConfigModule } from '../config/config.module.js';
import { DatabaseService, databaseProvider } from './database.service.js';
import { NotificationsService } from './notifications.service.js';

@Module({
  imports: [ConfigModule],
  providers: [databaseProvider, NotificationsService],
  exports: [DatabaseService, NotificationsService],
})
export class DatabaseModule {}
