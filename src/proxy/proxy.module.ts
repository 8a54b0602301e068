import { Module } from '@nestjs/common';
import { CatalogModule } from '../catalog/catalog.module.js';
import { ConfigModule } from '../config/config.module.js';
import { HttpModule } from '../http/http.module.js';
import { IdentityModule } from '../identity/identity.module.js';
import { MeteringModule } from '../metering/metering.module.js';
import { ProxyRoutes } from './proxy.routes.js';
import { ProxyService } from './proxy.service.js';
import { Upstreams } from './upstreams.js';

@Module({
  imports: [ConfigModule, HttpModule, IdentityModule, CatalogModule, MeteringModule],
  providers: [ProxyService, ProxyRoutes, Upstreams],
  exports: [ProxyService, ProxyRoutes],
})
export class ProxyModule {}
