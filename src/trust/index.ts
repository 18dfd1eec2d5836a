/** Identity and keys. */
export { createAtRest, SEAL_BYTES } from './at-rest.ts'
export type { AtRest } from './at-rest.ts'
export {
  DamagedKeyFileError,
  KeyFileAccessError,
  KeyFileExistsError,
  LooseKeyFileError,
  MissingKeyFileError,
  TRUST_ERRORS,
} from './errors.ts'
export {
  identityOfSeed,
  identityOwner,
  isPeerId,
  keyOwner,
  loadOrCreateIdentity,
  newIdentity,
  publicKeyBytes,
  verify,
} from './identity.ts'
export type { Identity } from './identity.ts'
export {
  KeyLockedError,
  NothingToSealError,
  PassphraseError,
  SEALED_KEY_ERRORS,
  TooManyAttemptsError,
  WrongPassphraseError,
} from './key-errors.ts'
export { checkFolderModes, checkKeyModes, keyStatus, sealKeys, unsealKeys } from './key-folder.ts'
export type { KeyStatus } from './key-folder.ts'
export { readPassphraseFile } from './passphrase.ts'
export { isSealed, openKeyFile, openSealed, sealKey } from './sealed-key.ts'
export type { Passphrase } from './sealed-key.ts'
export { createNetworkKey, loadNetworkKey } from './network-key.ts'
export { API_KEY_ERRORS, ApiKeyInitError, ApiKeyMissingError, ApiKeysBusyError } from './api-key-errors.ts'
export { API_KEY_SCOPES } from './api-key-file.ts'
export type { ApiKeyScope } from './api-key-file.ts'
export { createApiKeys } from './api-keys.ts'
export type { ApiKeyInfo, ApiKeyInit, ApiKeys, ApiKeysNeeds } from './api-keys.ts'
export * from './membership/index.ts'
export * from './invites/index.ts'
export * from './cluster-home/index.ts'
export * from './policy/index.ts'
export * from './audit/index.ts'
