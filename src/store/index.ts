/** Content-addressed blobs, and files that are written whole or not at all. */
export { CHUNK_BYTES } from './types.ts'
export type { BlobAddress, BlobReceiver, BlobStore, PartialBlob, StoredBlob } from './types.ts'
export { addressOfHashes, chunkCount, createChunkHasher, isAddress } from './address.ts'
export type { ChunkHasher } from './address.ts'
export { createBlobStore } from './blob-store.ts'
export type { BlobStoreInit } from './blob-store.ts'
export { verifyBlob } from './verify.ts'
export {
  availableBytes,
  createTemporary,
  explainDisk,
  isProcessAlive,
  removeAbandoned,
  syncDirectory,
  writeAll,
  readAtMost,
  writeFileAtomic,
} from './disk.ts'
export type { TemporaryFile } from './disk.ts'
export {
  AddressMismatchError,
  BlobDamagedError,
  BlobIncompleteError,
  BlobMissingError,
  BlobRangeError,
  ChunkMismatchError,
  DiskFullError,
  InvalidAddressError,
  STORE_ERRORS,
  StoreUnwritableError,
} from './errors.ts'
export { EMPTY_CHAIN } from './chain/types.ts'
export type {
  ChainFacts,
  ChainHead,
  ChainKind,
  ChainLink,
  ChainPlaces,
  ChainSigner,
  ChainTrouble,
} from './chain/types.ts'
export { chainHash, headBytes, headOf, readAnchor, writeAnchor } from './chain/head.ts'
export { anchorNow, CHAIN_TABLE, explainedChain, readChain } from './chain/database.ts'
export { diskTrouble, openDurableDatabase, parsedJson, replaceDurably, undoTransaction } from './durable.ts'
export type { DiskTrouble } from './durable.ts'
export { readSummedBytes, readSummedJson, summedBytes, summedJson, SumMismatchError } from './summed.ts'
export { openRowSums } from './row-sums.ts'
export type { RowSums } from './row-sums.ts'
export { checkRows } from './chain/rows.ts'
export type { CheckedRows } from './chain/rows.ts'
export { deriveKey, SCRYPT, SCRYPT_BOUNDS } from './derive-key.ts'
export type { ScryptCost } from './derive-key.ts'
export { createBackup, listBackups, RESTORING, restoreBackup, verifyBackup } from './backup/backup.ts'
export type { BackupInit, BackupSummary } from './backup/backup.ts'
export { COVERED, NO_PART, NOT_COVERED } from './backup/contents.ts'
export {
  BACKUP_ERRORS,
  BackupDamagedError,
  BackupMissingError,
  BackupOtherIdentityError,
  BackupPassphraseError,
  BackupRolledBackError,
  BackupShelfFullError,
  BackupShelfTakenError,
  BackupSourceError,
  HalfRestoredError,
} from './backup/errors.ts'
export { makeFolders, needFolders } from './folders.ts'
export { BackupShelf, SHELF_HEADER } from './backup/shelf.ts'
export { claimPublicKey, claimSeed, isClaimSigned, signClaim } from './backup/claim.ts'
export type { BackupClaim } from './backup/claim.ts'
export { isVault, kdfSchema, openVault, vaultHeader } from './backup/vault.ts'
export type { Vault, VaultHeader } from './backup/vault.ts'
