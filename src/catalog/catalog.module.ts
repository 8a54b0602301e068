import { Module } from '@nestjs/common';
import { ConfigModule } from '../config/config.module.js';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule } from '../http/http.module.js';
import { Catalog } from './catalog.js';
import { CatalogRepository } from './catalog.repository.js';
import { CatalogService } from './catalog.service.js';

@Module({
  imports: [ConfigModule, DatabaseModule, HttpModule],
  providers: [CatalogRepository, CatalogService, { provide: Catalog, useExisting: CatalogService }],
  exports: [Catalog, CatalogService],
})
export class CatalogModule {}
