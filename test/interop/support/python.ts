import { describe } from '@jest/globals';

/** The interpreter that has django-cqrs; `npm run test:interop` says where it is, or that there is none. */
export const python = process.env['CQRS_INTEROP_PYTHON'] ?? '';

/** Without Python nothing can be proven: the tests are skipped, and in CI that counts as failed. */
export const interop = python === '' ? describe.skip : describe;

export type PythonTransport = 'RabbitMQTransport' | 'KombuTransport';
