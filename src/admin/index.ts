import '../kernel/supported-node.js';
export { ApiProblem } from './http/api-problem.js';
export { type Admin, createAdmin, type ItemKey } from './admin.js';
export { type NodeRequest, toNodeHandler } from './node.js';
export type { AdjustSyncQuery, SyncQuery } from '../kernel/settings.js';
export type { AdminOptions, AdminUser, Authorize } from './options.js';
export * as contract from './contract.js';
export type { Job, JobDetail, JobItem, Role } from './contract.js';
