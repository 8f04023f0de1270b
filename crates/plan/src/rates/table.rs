//! The 152 rows themselves. A test compares them with the transcribed page, column by column.

use super::{Method, Module, Pool, Quota, Rate, RateUnit, Scope};

macro_rules! option {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! unit {
    () => {
        RateUnit::Calls
    };
    ($unit:ident) => {
        RateUnit::$unit
    };
}

macro_rules! quota {
    ($count:literal / $secs:literal s $scope:ident) => {
        Quota {
            count: $count,
            period_secs: $secs,
            scope: Scope::$scope,
        }
    };
}

// One row: number, name, method, path; then count / seconds and whose calls are counted. After
// that, only where it applies: the unit, the pool, a second quota, the query, the corrected route.
macro_rules! rates {
    ($($module:ident {$(
        $row:literal $operation:ident $method:ident $path:literal
        $count:literal / $secs:literal s $scope:ident
        $(counts $unit:ident)?
        $(pool $pool:ident)?
        $(and $count_2:literal / $secs_2:literal s $scope_2:ident)?
        $(query $query:literal)?
        $(really $real_method:ident $real_path:literal)?;
    )*})*) => {
        /// Every row of the limits page, in its order.
        pub static RATES: [Rate; 152] = [$($(
            Rate {
                row: $row,
                module: Module::$module,
                operation: stringify!($operation),
                method: Method::$method,
                path: $path,
                query: option!($($query)?),
                implemented_as: option!($((Method::$real_method, $real_path))?),
                limit: quota!($count / $secs s $scope),
                second: option!($(quota!($count_2 / $secs_2 s $scope_2))?),
                pool: option!($(Pool::$pool)?),
                unit: unit!($($unit)?),
            },
        )*)*];
    };
}

rates! {
    UserAccounts {
        1 register_user Post "/users" 100 / 1 s App pool UserRegistration;
        2 register_users Post "/users" 100 / 1 s App pool UserRegistration;
        3 set_push_nickname Put "/users/{username}" 100 / 1 s App pool UserRegistration;
        4 set_push_display_style Put "/users/{username}" 100 / 1 s App pool UserRegistration;
        5 get_user Get "/users/{username}" 100 / 1 s App;
        6 list_users Get "/users" 100 / 1 s App;
        7 delete_user Delete "/users/{username}" 100 / 1 s App;
        8 delete_users Delete "/users" 30 / 1 s App;
        9 change_user_password Post "/users/{username}/password" 100 / 1 s App
            really Put "/users/{username}/password";
        10 get_user_status Get "/users/{username}/status" 100 / 1 s App;
        11 get_user_statuses Post "/users/batch/status" 50 / 1 s App;
        12 count_offline_messages Get "/users/{owner_username}/offline_msg_count" 100 / 1 s App;
        13 get_offline_message_status Get "/users/{username}/offline_msg_status/{msg_id}"
            100 / 1 s App;
        14 deactivate_user Post "/users/{username}/deactivate" 100 / 1 s App;
        15 activate_user Post "/users/{username}/activate" 100 / 1 s App;
        16 disconnect_user Get "/users/{username}/disconnect" 100 / 1 s App;
    }
    GlobalMutes {
        17 set_global_mute Post "/mutes" 100 / 1 s App;
        18 get_global_mute Get "/mutes/username" 100 / 1 s App really Get "/mutes/{username}";
        19 list_global_mutes Get "/mutes" 100 / 1 s App;
    }
    Messages {
        20 send_direct_message Post "/messages/users" 6_000 / 60 s App counts Messages;
        21 send_group_message Post "/messages/chatgroups" 20 / 1 s App counts Messages;
        22 send_room_message Post "/messages/chatrooms" 100 / 1 s App counts Messages;
        23 upload_file Post "/chatfiles" 100 / 1 s App;
        24 download_file Get "/chatfiles/{file_uuid}" 100 / 1 s App;
        25 get_message_history Get "/chatmessages/${time}" 10 / 60 s App
            really Get "/chatmessages/{time}";
        26 recall_message Post "/messages/recall" 100 / 1 s App really Post "/messages/msg_recall";
        27 delete_conversation Delete "/users/{username}/user_channel" 5 / 60 s User
            and 100 / 1 s App;
        28 list_conversations Get "/user/{username}/user_channels" 5 / 60 s User and 100 / 1 s App;
        29 import_direct_message Post "/messages/users/import" 100 / 1 s App;
        30 import_group_message Post "/messages/chatgroups/import" 100 / 1 s App;
    }
    Contacts {
        31 add_contact Post "/users/{owner_username}/contacts/users/{friend_username}"
            100 / 1 s App;
        32 remove_contact Delete "/users/{owner_username}/contacts/users/{friend_username}"
            100 / 1 s App;
        33 list_contacts Get "/users/{owner_username}/contacts/users" 100 / 1 s App;
        34 list_blocked_users Get "/users/{owner_username}/blocks/users" 50 / 1 s App;
        35 block_users Post "/users/{owner_username}/blocks/users" 50 / 1 s App;
        36 unblock_user Delete "/users/{owner_username}/blocks/users/{blocked_username}"
            50 / 1 s App;
    }
    UserAttributes {
        37 set_user_attributes Put "/metadata/user/{username}" 100 / 1 s App;
        38 get_attributes_of_users Post "/metadata/user/get" 100 / 1 s App;
        39 delete_user_attributes Delete "/metadata/user/{username}" 100 / 1 s App;
        40 get_user_attributes Get "/metadata/user/{username}" 100 / 1 s App;
        41 get_user_attributes_size Get "/metadata/user/capacity" 100 / 1 s App;
    }
    Groups {
        42 list_groups Get "/chatgroups" 100 / 1 s App query "limit={N}&cursor={cursor}";
        43 list_joined_groups Get "/users/{username}/joined_chatgroups" 50 / 1 s App
            query "pagesize={}&pagenum={}";
        44 get_groups Get "/chatgroups/{group_ids}" 100 / 1 s App;
        45 create_group Post "/chatgroups" 100 / 1 s App;
        46 disable_group Post "/chatgroups/{group_id}/disable" 100 / 1 s App;
        47 enable_group Post "/chatgroups/{group_id}/enable" 100 / 1 s App;
        48 update_group Put "/chatgroups/{group_id}" 100 / 1 s App;
        49 delete_group Delete "/chatgroups/{group_id}" 100 / 1 s App;
        50 get_group_announcement Get "/chatgroups/{group_id}/announcement" 100 / 1 s App;
        51 set_group_announcement Post "/chatgroups/{group_id}/announcement" 100 / 1 s App;
        52 list_group_files Get "/chatgroups/{group_id}/share_files" 100 / 1 s App;
        53 upload_group_file Post "/chatgroups/{group_id}/share_files" 100 / 1 s App;
        54 download_group_file Get "/chatgroups/{group_id}/share_files/{file_id}" 100 / 1 s App;
        55 delete_group_file Delete "/chatgroups/{group_id}/share_files/{file_id}" 100 / 1 s App;
    }
    GroupMembers {
        56 list_group_members Get "/chatgroups/{group_id}/users" 100 / 1 s App;
        57 add_group_member Post "/chatgroups/{group_id}/users/{username}" 100 / 1 s App;
        58 add_group_members Post "/chatgroups/{group_id}/users" 100 / 1 s App;
        59 remove_group_member Delete "/chatgroups/{group_id}/users/{username}" 100 / 1 s App;
        60 remove_group_members Delete "/chatgroups/{group_id}/users/{usernames}" 100 / 1 s App;
        61 list_group_admins Get "/chatgroups/{group_id}/admin" 100 / 1 s App;
        62 add_group_admin Post "/chatgroups/{group_id}/admin" 100 / 1 s App;
        63 remove_group_admin Delete "/chatgroups/{group_id}/admin/{oldadmin}" 100 / 1 s App;
        64 transfer_group Put "/chatgroups/{group_id}" 100 / 1 s App;
        65 list_group_blocks Get "/chatgroups/{group_id}/blocks/users" 100 / 1 s App;
        66 block_group_user Post "/chatgroups/{group_id}/blocks/users/{username}" 100 / 1 s App;
        67 block_group_users Post "/chatgroups/{group_id}/blocks/users" 100 / 1 s App;
        68 unblock_group_user Delete "/chatgroups/{group_id}/blocks/users/{username}" 100 / 1 s App;
        69 unblock_group_users Delete "/chatgroups/{group_id}/blocks/users/{usernames}"
            100 / 1 s App;
        70 list_group_allowed Get "/chatgroups/{group_id}/white/users" 100 / 1 s App;
        71 allow_group_user Post "/chatgroups/{group_id}/white/users/{username}" 100 / 1 s App;
        72 allow_group_users Post "/chatgroups/{group_id}/blocks/users" 100 / 1 s App
            really Post "/chatgroups/{group_id}/white/users";
        73 disallow_group_users Delete "/chatgroups/{group_id}/white/users/{username}"
            100 / 1 s App;
        74 list_group_mutes Get "/chatgroups/{group_id}/mute" 100 / 1 s App;
        75 mute_group_members Post "/chatgroups/{group_id}/mute" 100 / 1 s App;
        76 mute_whole_group Post "/chatgroups/{group_id}/ban" 100 / 1 s App;
        77 unmute_group_members Delete "/chatgroups/{group_id}/mute/{member_id}" 100 / 1 s App;
        78 unmute_whole_group Delete "/chatgroups/{group_id}/ban" 100 / 1 s App;
    }
    Rooms {
        79 list_rooms Get "/chatrooms" 50 / 1 s App query "limit={N}&cursor={cursor}";
        80 list_joined_rooms Get "/users/{username}/joined_chatrooms" 50 / 1 s App;
        81 get_rooms Get "/chatrooms/{chatroom_id}" 100 / 1 s App;
        82 create_room Post "/chatrooms" 50 / 1 s App;
        83 update_room Put "/chatrooms/{chatroom_id}" 100 / 1 s App;
        84 delete_room Delete "/chatrooms/{chatroom_id}" 100 / 1 s App;
        85 get_room_announcement Get "/chatrooms/{chatroom_id}/announcement" 100 / 1 s App;
        86 set_room_announcement Post "/chatrooms/{chatroom_id}/announcement" 100 / 1 s App;
        87 get_room_attributes Post "/metadata/chatroom/{chatroom_id}" 100 / 1 s App;
        88 set_room_attributes Put "/metadata/chatroom/{chatroom_id}/user/{username}" 100 / 1 s App;
        89 force_set_room_attributes Put "/metadata/chatroom/{chatroom_id}/user/{username}/forced"
            100 / 1 s App;
        90 delete_room_attributes Delete "/metadata/chatroom/{chatroom_id}/user/{username}"
            100 / 1 s App;
        91 force_delete_room_attributes Delete
            "/metadata/chatroom/{chatroom_id}/user/{username}/forced"
            100 / 1 s App;
    }
    RoomMembers {
        92 list_room_members Get "/chatrooms/{chatroom_id}/users" 100 / 1 s App
            query "pagenum={N}&pagesize={N}";
        93 add_room_member Post "/chatrooms/{chatroom_id}/users/{username}" 100 / 1 s App;
        94 add_room_members Post "/chatrooms/{chatroom_id}/users" 100 / 1 s App;
        95 remove_room_member Delete "/chatrooms/{chatroom_id}/users/{username}" 100 / 1 s App;
        96 remove_room_members Delete "/chatrooms/{chatroom_id}/users/{usernames}" 100 / 1 s App;
        97 list_room_admins Get "/chatrooms/{chatroom_id}/admin" 100 / 1 s App;
        98 add_room_admin Post "/chatrooms/{chatroom_id}/admin" 100 / 1 s App;
        99 remove_room_admin Delete "/chatrooms/{chatroom_id}/admin/{oldadmin}" 100 / 1 s App;
        100 list_room_blocks Get "/chatrooms/{chatroom_id}/blocks/users" 100 / 1 s App;
        101 block_room_user Post "/chatrooms/{chatroom_id}/blocks/users/{username}" 100 / 1 s App;
        102 block_room_users Post "/chatrooms/{chatroom_id}/blocks/users" 100 / 1 s App;
        103 unblock_room_user Delete "/chatrooms/{chatroom_id}/blocks/users/{username}"
            100 / 1 s App;
        104 unblock_room_users Delete "/chatrooms/{chatroom_id}/blocks/users/{usernames}"
            100 / 1 s App;
        105 list_room_allowed Get "/chatrooms/{chatroom_id}/white/users" 100 / 1 s App;
        106 allow_room_user Post "/chatrooms/{chatroom_id}/white/users/{username}" 100 / 1 s App;
        107 allow_room_users Post "/chatrooms/{chatroom_id}/white/users" 100 / 1 s App;
        108 disallow_room_users Delete "/chatrooms/{chatroom_id}/white/users/{username}"
            100 / 1 s App;
        109 list_room_mutes Get "/chatrooms/{chatroom_id}/mute" 100 / 1 s App;
        110 mute_room_members Post "/chatrooms/{chatroom_id}/mute" 100 / 1 s App;
        111 mute_whole_room Post "/chatrooms/{chatroom_id}/ban" 100 / 1 s App;
        112 unmute_room_members Delete "/chatrooms/{chatroom_id}/mute/{member}" 100 / 1 s App;
        113 unmute_whole_room Delete "/chatrooms/{chatroom_id}/ban" 100 / 1 s App;
        114 list_super_admins Get "/chatrooms/super_admin" 100 / 1 s App
            query "pagenum={N}&pagesize={N}";
        115 add_super_admin Post "/chatrooms/super_admin" 100 / 1 s App;
        116 remove_super_admin Delete "/chatrooms/super_admin/{superAdmin}" 100 / 1 s App;
    }
    OfflinePush {
        117 set_offline_push Put "/users/{username}/notification/{chattype}/{key}" 100 / 1 s App;
        118 get_offline_push Get "/users/{username}/notification/{type}/{key}" 100 / 1 s App;
        119 set_push_language Put "/users/{username}/notification/language" 100 / 1 s App;
        120 get_push_language Put "/users/{username}/notification/language" 100 / 1 s App
            really Get "/users/{username}/notification/language";
        121 create_push_template Post "/notification/template" 10 / 1 s App;
        122 get_push_template Get "/notification/template/{name}" 10 / 1 s App;
        123 delete_push_template Delete "/notification/template/{name}" 10 / 1 s App;
    }
    Push {
        124 create_push_label Post "/push/label" 100 / 1 s App;
        125 get_push_label Get "/push/label/{labelname}" 100 / 1 s App;
        126 list_push_labels Get "/push/label" 100 / 1 s App;
        127 delete_push_label Delete "/push/label/{labelname}" 100 / 1 s App;
        128 add_push_label_users Post "/push/label/{labelname}/user" 100 / 1 s App;
        129 get_push_label_user Get "/push/label/{labelname}/user/{username}" 100 / 1 s App;
        130 list_push_label_users Get "/push/label/{labelname}/user" 100 / 1 s App;
        131 remove_push_label_users Delete "/push/label/{labelname}/user" 100 / 1 s App;
        132 push_to_users Post "/push/single" 1_200 / 60 s App;
        133 push_to_labels Post "/push/list/label" 1_200 / 60 s App;
        134 push_to_app Post "/push/task" 5 / 60 s App and 100 / 86_400 s App;
    }
    Presence {
        135 set_presence Post "/users/{username}/presence/{resource}/{status}" 50 / 1 s App;
        136 subscribe_presence Post "/users/{username}/presence/{expiry}" 50 / 1 s App;
        137 get_presence Post "/users/{username}/presence" 50 / 1 s App;
        138 unsubscribe_presence Delete "/users/{username}/presence" 50 / 1 s App;
        139 list_presence_subscriptions Get "/users/{username}/presence/sublist" 50 / 1 s App
            query "pageNum=1&pageSize=100";
    }
    Reactions {
        140 add_reaction Post "/reaction/user/{username}" 100 / 1 s Ip;
        141 get_reactions Get "/reaction/user/{username}" 100 / 1 s Ip
            query "msgIdList={N,M}&msgType={msgType}&groupId={groupId}";
        142 remove_reaction Delete "/reaction/user/{username}" 100 / 1 s Ip
            query "msgId={msgId}&message={message}";
        143 get_reaction_details Get "/reaction/user/{username}/detail" 100 / 1 s Ip
            query "msgId={msgId}&message={message}&limit={limit}&cursor={cursor}";
    }
    Threads {
        144 create_thread Post "/thread" 100 / 1 s Ip;
        145 update_thread Put "/thread/{thread_id}" 100 / 1 s Ip;
        146 delete_thread Delete "/thread/{thread_id}" 100 / 1 s Ip;
        147 list_threads Get "/thread" 100 / 1 s Ip
            query "limit={limit}&cursor={cursor}&sort={sort}";
        148 list_joined_threads Get "/threads/user/{username}" 100 / 1 s Ip
            query "limit={limit}&cursor={cursor}&sort={sort}";
        149 list_joined_group_threads Get "/threads/chatgroups/{group_id}/user/{username}"
            100 / 1 s Ip query "limit={limit}&cursor={cursor}&sort={sort}";
        150 list_thread_members Get "/thread/{thread_id}/users" 100 / 1 s Ip
            query "limit={N}&cursor={cursor}";
        151 join_thread Post "/thread/{thread_id}/users" 100 / 1 s Ip;
        152 remove_thread_members Delete "/threads/{thread_id}/users" 100 / 1 s Ip
            really Delete "/thread/{thread_id}/users";
    }
}
