/** The name that controllers knew `AccountAccess` by before users had accounts. */
export { AccountAccess as OrganizationAccess, notFound } from './account-access.js';
