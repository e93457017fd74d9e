#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# blk_migrate.sh once, with both disks behind intel-iommu: what is logged then are the guest's
# addresses of pages that the disks know by others.

VHU_LONG=
behind_iommu=1
. "$(dirname "$0")/blk_migrate.sh"
