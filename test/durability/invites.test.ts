import { enrolment, invites } from './kinds/invites.ts'
import { durabilitySuite } from './suite.ts'

durabilitySuite(invites)
durabilitySuite(enrolment)
