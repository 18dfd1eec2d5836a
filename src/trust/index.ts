/** Identity and keys. */
export {
  DamagedKeyFileError,
  KeyFileAccessError,
  KeyFileExistsError,
  LooseKeyFileError,
  MissingKeyFileError,
  TRUST_ERRORS,
} from './errors.ts'
export { isPeerId, loadOrCreateIdentity, newIdentity, verify } from './identity.ts'
export type { Identity } from './identity.ts'
export { createNetworkKey, loadNetworkKey } from './network-key.ts'
