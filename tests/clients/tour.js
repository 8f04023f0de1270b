// A tour of the service by a client that was written for the hosted one, and knows nothing of Tidestore: see README.md.
//
// node tour.js CLIENT_DIR  – the client's own modules are called; what they send and get back is only listened to.
'use strict';
const path = require('path');
const client = path.resolve(process.argv[2]);
const load = name => require(path.join(client, name));
process.chdir(client);
console.log = () => {};

// The client answers by printing. So that the tour can look at an answer, its two ways to send are wrapped.
const request = load('request');
let heard;
const send = request.httpRequest;
request.httpRequest = json => {
    const own = json.callback;
    send({
        ...json, callback: text => {
            if (typeof own === 'function') own(text);
            if (json.path !== 'token') heard(text, json.method || 'GET', json.path);
        }
    });
};

const steps = [];
function call(name, act) {
    return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(name + ': no answer')), 10000);
        heard = (text, method, where) => {
            clearTimeout(timer);
            let answer;
            try { answer = JSON.parse(text); } catch (error) { answer = text; }
            steps.push([name, `${method} /${where}`, answer.error || 'done']);
            resolve(answer);
        };
        act();
    });
}
function expect(what, holds) {
    if (!holds) throw new Error('not so: ' + what);
}

async function tour() {
    const [User, Group, ChatRoom, SendMessage, Files] =
        ['user', 'group', 'chatRoom', 'sendMessage', 'files'].map(name => load('easemob/' + name));
    const [user, group, room, message, files] = [new User(), new Group(), new ChatRoom(), new SendMessage(), new Files()];

    let answer = await call('register a user', () => user.createUser('ann', 'secret'));
    expect('ann is registered', answer.entities[0].username === 'ann');
    answer = await call('register several', () => user.createUsers(['bob', 'carl', 'dora'].map(username => ({ username, password: 'secret' }))));
    expect('three are registered', answer.entities.length === 3);
    answer = await call('register a user twice', () => user.createUser('ann', 'secret'));
    expect('that is refused', answer.error === 'duplicate_unique_property_exists');
    answer = await call('look at a user', () => user.getUser('bob'));
    expect('bob is there', answer.entities[0].activated === true);
    answer = await call('list users', () => user.getUsers(2));
    expect('two on a page', answer.entities.length === 2 && answer.cursor);
    await call('change a password', () => user.resetPassword('ann', 'secret', 'other'));
    answer = await call('change a nickname', () => user.editNickname('ann', 'Ann'));
    expect('it is changed', answer.entities[0].nickname === 'Ann');

    await call('make friends', () => user.addFriend('ann', 'bob'));
    answer = await call('list friends', () => user.showFriends('ann'));
    expect('bob is one', answer.data.includes('bob'));
    await call('block', () => user.addUserForBlacklist('ann', ['carl']));
    answer = await call('list the blocked', () => user.getBlacklist('ann'));
    expect('carl is', answer.data.includes('carl'));
    await call('unblock', () => user.deleteUserFromBlacklist('ann', 'carl'));

    answer = await call('create a group', () => group.createGroup({ groupname: 'tea', desc: 'about tea', public: true, maxusers: 200, approval: false, owner: 'ann', members: ['bob'] }));
    const groupid = answer.data.groupid;
    answer = await call('look at the group', () => group.getGroupDetail([groupid]));
    expect('it is tea', answer.data[0].name === 'tea');
    await call('change the group', () => group.modifyGroupInfo({ group_id: groupid, groupname: 'coffee', description: 'no tea', maxusers: 300 }));
    await call('add a member', () => group.addGroupMember(groupid, 'carl'));
    answer = await call('list members', () => group.getGroupUsers(groupid));
    expect('three are in it', answer.data.length === 3);
    answer = await call('list a user\'s groups', () => group.getGroupsForUser('carl'));
    expect('coffee is one', JSON.stringify(answer.data).includes('coffee'));
    await call('block in the group', () => group.addGroupBlackMember(groupid, 'carl'));
    answer = await call('list the blocked of the group', () => group.getGroupBlackList(groupid));
    expect('carl is', answer.data.includes('carl'));
    await call('unblock in the group', () => group.deleteGroupBlackMember(groupid, 'carl'));
    await call('hand the group over', () => group.changeGroupOwner({ group_id: groupid, newowner: 'bob' }));

    answer = await call('create a room', () => room.createChatRoom({ name: 'hall', description: 'for all', maxusers: 100, owner: 'ann', members: ['bob'] }));
    const roomid = answer.data.id;
    await call('change the room', () => room.modifyChatRoom({ chatroom_id: roomid, name: 'yard', description: 'outside', maxusers: 200 }));
    answer = await call('look at the room', () => room.getChatRoomDetail(roomid));
    expect('it is there', answer.data[0].id === roomid);
    await call('add to the room', () => room.addChatRoomMember(roomid, 'carl'));
    answer = await call('list a user\'s rooms', () => room.getChatRoomJoined('carl'));
    expect('the room is one', JSON.stringify(answer.data).includes(roomid));
    await call('take out of the room', () => room.deleteChatRoomMember(roomid, 'carl'));

    answer = await upload(files, path.join(client, 'resources/image/01.jpg'));
    const file = answer.entities[0];
    const url = answer.uri + '/' + file.uuid;
    expect('a file has an id', Boolean(file.uuid));
    const download = await call('download a file', () => files.downloadFile({ uuid: file.uuid, shareSecret: file['share-secret'] }));
    expect('bytes come back', String(download).length > 1000);

    const to = { type: 'users', target: ['bob'], from: 'ann', ext: { a: 'b' } };
    const media = { ...to, url, filename: '01.jpg', secret: file['share-secret'], length: 10 };
    for (const [name, act] of [
        ['send a text', () => message.sendText({ ...to, content: 'hello' })],
        ['send an image', () => message.sendImage(media)],
        ['send audio', () => message.sendAudio(media)],
        ['send a video', () => message.sendVideo({ ...media, file_length: 4190, thumb: url, thumb_secret: media.secret })],
        ['send a command', () => message.sendCmd({ ...to, action: 'blink' })],
    ]) {
        answer = await call(name, act);
        expect(name, answer.data.bob === 'success');
    }
    answer = await call('send to the group', () => message.sendText({ ...to, type: 'chatgroups', target: [groupid], content: 'all' }));
    expect('sent', answer.data[groupid] === 'success');
    answer = await call('send to the room', () => message.sendText({ ...to, type: 'chatrooms', target: [roomid], content: 'all' }));
    expect('sent', answer.data[roomid] === 'success');
    answer = await call('count what waits', () => user.getOfflineMessages('bob'));
    expect('six wait', answer.data.bob >= 5);
    answer = await call('who is online', () => user.isOnline('bob'));
    expect('bob is not', answer.data.bob === 'offline');

    await call('ban a user', () => user.deactivateUser('dora'));
    await call('allow him again', () => user.activateUser('dora'));
    await call('throw out of everywhere', () => user.disconnectUser('dora'));
    await call('delete the group', () => group.deleteGroup(groupid));
    await call('delete the room', () => room.deleteChatRoom(roomid));
    await call('end a friendship', () => user.deleteFriend('ann', 'bob'));
    await call('delete a user', () => user.deleteUser('dora'));
    answer = await call('look for him', () => user.getUser('dora'));
    expect('he is gone', answer.error);
    await call('delete the others', () => user.deleteUsers(10));
}

// Uploads end in a print-out: the answer is heard where the client reads it.
function upload(files, filePath) {
    return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('upload: no answer')), 10000);
        console.log = what => {
            if (what && what.entities) {
                clearTimeout(timer);
                console.log = () => {};
                steps.push(['upload a file', 'POST /chatfiles', 'done']);
                resolve(what);
            }
        };
        files.uploadFile({ filePath, restrictAccess: true });
    });
}

const wide = 20;
tour().then(() => 0, error => { process.stderr.write(`${error.stack}\n`); return 1; }).then(code => {
    for (const [name, where, result] of steps) {
        process.stdout.write(`${name.padEnd(wide + 14)} ${where.slice(0, 70).padEnd(72)} ${result}\n`);
    }
    process.stdout.write(`${steps.length} calls\n`);
    process.exit(code);
});
