import '../kernel/supported-node.js';
export { transportContract, type TransportContractCase, type TransportHarness } from './transport-contract.js';
