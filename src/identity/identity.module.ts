import { Module } from '@nestjs/common';
import { ConfigModule } from '../config/config.module.js';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule } from '../http/http.module.js';
import { AdminToken, adminTokenProvider } from './admin-token.js';
import { AuditController } from './audit.controller.js';
import { AuditRepository } from './audit.repository.js';
import { AuditService } from './audit.service.js';
import { IdentityRepository } from './identity.repository.js';
import { IdentityService } from './identity.service.js';
import { MeController } from './me.controller.js';
import { MembersController } from './members.controller.js';
import { MembersRepository } from './members.repository.js';
import { MembersService } from './members.service.js';
import { OrganizationAccess } from './organization-access.js';
import { OrganizationsController } from './organizations.controller.js';
import { OrganizationsRepository } from './organizations.repository.js';
import { OrganizationsService } from './organizations.service.js';
import { TokensController } from './tokens.controller.js';
import { TokensRepository } from './tokens.repository.js';
import { TokensService } from './tokens.service.js';

/** Organizations, members, tokens, and who may do what. Its exports are what `CallerGuard` needs. */
@Module({
  imports: [ConfigModule, DatabaseModule, HttpModule],
  controllers: [
    OrganizationsController,
    MembersController,
    TokensController,
    MeController,
    AuditController,
  ],
  providers: [
    adminTokenProvider,
    IdentityRepository,
    IdentityService,
    OrganizationAccess,
    OrganizationsRepository,
    OrganizationsService,
    MembersRepository,
    MembersService,
    TokensRepository,
    TokensService,
    AuditRepository,
    AuditService,
  ],
  exports: [
    AdminToken,
    IdentityService,
    OrganizationAccess,
    OrganizationsService,
    MembersService,
    TokensService,
  ],
})
export class IdentityModule {}
