import '../core/supported-node.js';
export { ApiProblem } from './api-problem.js';
export { type Admin, createAdmin, type ItemKey } from './admin.js';
export { type NodeRequest, toNodeHandler } from './node.js';
export type { AdjustSyncQuery, SyncQuery } from '../core/settings.js';
export type { AdminOptions, AdminUser, Authorize } from './options.js';
export * as contract from './contract.js';
export type { Job, JobDetail, JobItem, Role } from './contract.js';
