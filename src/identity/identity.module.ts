import { Module } from '@nestjs/common';
import { PlansModule } from '../billing/plans.module.js';
import { ConfigModule } from '../config/config.module.js';
import { DatabaseModule } from '../database/database.module.js';
import { HttpModule } from '../http/http.module.js';
import { AccountAccess } from './account-access.js';
import { AccountLimitsController } from './account-limits.controller.js';
import { AccountTokensController } from './account-tokens.controller.js';
import { AccountsRepository } from './accounts.repository.js';
import { AccountsService } from './accounts.service.js';
import { AdminToken, adminTokenProvider } from './admin-token.js';
import { AuditController } from './audit.controller.js';
import { AuditRepository } from './audit.repository.js';
import { AuditService } from './audit.service.js';
import { IdentityRepository } from './identity.repository.js';
import { IdentityService } from './identity.service.js';
import { LiveProcessesRepository } from './live-processes.repository.js';
import { LiveProcessesService } from './live-processes.service.js';
import { MeController } from './me.controller.js';
import { MembersController } from './members.controller.js';
import { MembersRepository } from './members.repository.js';
import { MembersService } from './members.service.js';
import { OrganizationsController } from './organizations.controller.js';
import { OrganizationsRepository } from './organizations.repository.js';
import { OrganizationsService } from './organizations.service.js';
import { ProcessLoadsRepository } from './process-loads.repository.js';
import { ProcessLoadsService } from './process-loads.service.js';
import { ServerlessAllowanceRepository } from './serverless-allowance.repository.js';
import { ServerlessAllowanceService } from './serverless-allowance.service.js';
import { TokensController } from './tokens.controller.js';
import { TokensRepository } from './tokens.repository.js';
import { TokensService } from './tokens.service.js';
import { UsersController } from './users.controller.js';
import { UsersRepository } from './users.repository.js';
import { UsersService } from './users.service.js';

/**
 * Organizations, users, members, tokens, and who may do what. Its exports are what `CallerGuard`
 * needs.
 */
@Module({
  imports: [ConfigModule, DatabaseModule, HttpModule, PlansModule],
  controllers: [
    OrganizationsController,
    UsersController,
    AccountLimitsController,
    AccountTokensController,
    MembersController,
    TokensController,
    MeController,
    AuditController,
  ],
  providers: [
    adminTokenProvider,
    IdentityRepository,
    IdentityService,
    AccountAccess,
    AccountsRepository,
    AccountsService,
    OrganizationsRepository,
    OrganizationsService,
    UsersRepository,
    UsersService,
    MembersRepository,
    MembersService,
    TokensRepository,
    TokensService,
    AuditRepository,
    AuditService,
    LiveProcessesRepository,
    LiveProcessesService,
    ProcessLoadsRepository,
    ProcessLoadsService,
    ServerlessAllowanceRepository,
    ServerlessAllowanceService,
  ],
  exports: [
    AdminToken,
    IdentityService,
    LiveProcessesService,
    AccountAccess,
    AccountsService,
    OrganizationsService,
    UsersService,
    MembersService,
    TokensService,
    ProcessLoadsService,
    ServerlessAllowanceService,
  ],
})
export class IdentityModule {}
