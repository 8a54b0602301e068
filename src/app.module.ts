import { Module } from '@nestjs/common';
import { ConfigModule } from './config/config.module.js';
import { DatabaseModule } from './database/database.module.js';
import { HttpModule } from './http/http.module.js';
import { MeteringModule } from './metering/metering.module.js';

/** The table of contents. */
@Module({
  imports: [ConfigModule, DatabaseModule, HttpModule, MeteringModule],
})
export class AppModule {}
