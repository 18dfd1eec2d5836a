import { KINDS } from './kinds/backups.ts'
import { durabilitySuite } from './suite.ts'

durabilitySuite('backups', KINDS)
