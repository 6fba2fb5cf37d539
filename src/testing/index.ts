export { transportContract, type TransportContractCase, type TransportHarness } from './transport-contract.js';
